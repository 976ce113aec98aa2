package linelog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// File is a file below a directory to which a Writer's lines are appended. It
// is opened for each write, and made if it is not there: so it may be renamed
// or removed at any time, as those do who rotate logs.
func File(dir *os.Root, path string) io.Writer { return &file{dir, path} }

type file struct {
	dir  *os.Root
	path string
}

func (f *file) Write(p []byte) (n int, err error) {
	w, err := f.open()
	if errors.Is(err, fs.ErrNotExist) {
		if err = f.dir.MkdirAll(path.Dir(f.path), 0o750); err == nil {
			w, err = f.open()
		}
	}
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", f.path, err)
	}
	n, err = w.Write(p)
	return n, errors.Join(err, w.Close())
}

func (f *file) open() (*os.File, error) {
	return f.dir.OpenFile(f.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
}
