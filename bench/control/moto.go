package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/isthmus-net/isthmus/test/machine"
)

const (
	motoHost    = "127.0.0.1"
	motoPort    = "5555"
	motoAddress = motoHost + ":" + motoPort
)

// moto is a running moto_server, which mocks the AWS API in memory.
type moto struct {
	cmd *exec.Cmd
	log *os.File
}

// startMoto starts moto_server inside the machine and waits until it answers;
// it returns nil if it is not installed.
func startMoto(ctx context.Context, m *machine.Machine) (*moto, error) {
	path, err := exec.LookPath("moto_server")
	if errors.Is(err, exec.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &moto{cmd: m.Command(ctx, path, "-H", motoHost, "-p", motoPort)}
	if s.log, err = os.Create(filepath.Join(m.Dir, "moto.log")); err != nil {
		return nil, err
	}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.log.Close()
		return nil, fmt.Errorf("start moto_server: %w", err)
	}
	if err := machine.Until(ctx, time.Minute, func() (bool, string, error) {
		c, err := m.Dial(ctx, "tcp", motoAddress)
		if err != nil {
			return false, err.Error(), nil
		}
		return true, "", c.Close()
	}); err != nil {
		said, _ := os.ReadFile(s.log.Name())
		s.stop()
		return nil, fmt.Errorf("wait for moto_server: %w\n%s", err, said)
	}
	return s, nil
}

func (s *moto) stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
	s.log.Close()
}
