package main

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/isthmus-net/isthmus/bench/internal/report"
	"github.com/isthmus-net/isthmus/test/machine"
)

// starts measures "isthmus serve" from its start to the moment at which it
// tells a service manager that it is ready: once with nothing there, once as
// after a stop, with its data, devices and pinned objects.
func starts(ctx context.Context, m *machine.Machine, r *report.Report, p plan) error {
	for range p.starts {
		for _, kind := range []struct {
			name string
			stop func(context.Context, *machine.Machine) error
		}{{"start-cold", remove}, {"start-warm", halt}} {
			if err := kind.stop(ctx, m); err != nil {
				return err
			}
			begin := time.Now()
			if err := m.Serve(ctx); err != nil {
				return err
			}
			r.Add(kind.name, report.Ours, "ms_to_ready", "ms", ms(time.Since(begin)))
		}
	}
	return nil
}

func halt(_ context.Context, m *machine.Machine) error {
	if err := m.Server().Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return m.Wait()
}

func remove(ctx context.Context, m *machine.Machine) error {
	if err := m.Down(ctx); err != nil {
		return err
	}
	if err := m.Wait(); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(m.Dir, "data"))
}
