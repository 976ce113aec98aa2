package feed

import (
	"fmt"
	"net"
	"syscall"
)

// peerCredentials tells which process connected: its ids when it did, as the
// kernel knows them.
func peerCredentials(conn net.Conn) (*syscall.Ucred, error) {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("read peer credentials: %T is not a Unix socket", conn)
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("read peer credentials: %w", err)
	}
	var credentials *syscall.Ucred
	var optErr error
	err = raw.Control(func(fd uintptr) {
		credentials, optErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err == nil {
		err = optErr
	}
	if err != nil {
		return nil, fmt.Errorf("read peer credentials: %w", err)
	}
	return credentials, nil
}
