package cli

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// claimData makes the data directory, or takes it if it is empty, and gives it
// to the control process.
func claimData(dir string) error {
	return claim("data directory", "--data-dir", dir, uidControl, 0o700)
}

// claim makes a directory that a flag names, and gives it to a user, who must get
// through those above it.
func claim(what, flag, dir string, uid int, mode os.FileMode) error {
	if err := errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.MkdirAll(dir, mode)); err != nil {
		return fmt.Errorf("make %s: %w", what, err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("examine %s: %w", what, err)
	}
	if info.Sys().(*syscall.Stat_t).Uid != uint32(uid) {
		files, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("examine %s: %w", what, err)
		}
		if len(files) > 0 {
			return fmt.Errorf("%s %s is not empty and not Isthmus's: name another with %s", what, dir, flag)
		}
	}
	if err := errors.Join(os.Chown(dir, uid, gid), os.Chmod(dir, mode)); err != nil {
		return fmt.Errorf("claim %s: %w", what, err)
	}
	return reachable(dir)
}

// reachable checks that users without privileges can get to a directory.
func reachable(dir string) error {
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return err
	}
	for at := filepath.Dir(dir); ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o001 == 0 {
			return fmt.Errorf("the processes that serve %s have no privileges and can't get past %s (mode %04o): chmod o+x %s, or choose another directory",
				dir, at, info.Mode().Perm(), at)
		}
		if at == "/" {
			return nil
		}
	}
}

// notify tells systemd, if it asked to be told (sd_notify(3)).
func notify(socket, state string) error {
	if socket == "" {
		return nil
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	defer c.Close()
	_, err = c.Write([]byte(state))
	return err
}

// removeData removes a data directory, if it is one.
func removeData(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove data directory: %w", err)
	}
	if info.Sys().(*syscall.Stat_t).Uid != uidControl {
		return fmt.Errorf("remove data directory: %s is not Isthmus's", dir)
	}
	return os.RemoveAll(dir)
}
