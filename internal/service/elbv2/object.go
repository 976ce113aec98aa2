package elbv2

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

// Options are what the service is made with.
type Options struct {
	// S3 is a directory in the place of Amazon S3: BUCKET/KEY in it is an object.
	// It may be nil.
	S3 *os.Root
	// URL is where the API is reached, without a slash at the end.
	URL string
}

// bucketName is what a bucket of S3 may be called.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

var errNoObject = errors.New("there is no such object")

// object reads an object of at most limit bytes. No key leads out of its bucket.
func (o Options) object(bucket, key string, limit int64) ([]byte, error) {
	if o.S3 == nil {
		return nil, unsupported("Trust stores are made of objects in Amazon S3, which is not here; isthmus serve --s3-dir DIR takes files in the place of objects")
	}
	if !bucketName.MatchString(bucket) || !filepath.IsLocal(key) || filepath.Clean(key) != key {
		return nil, errNoObject
	}
	root, err := o.S3.OpenRoot(bucket)
	if err != nil {
		return nil, notThere(err)
	}
	defer root.Close()
	f, err := root.OpenFile(key, os.O_RDONLY|syscall.O_NONBLOCK, 0) // no pipe is waited for
	if err != nil {
		return nil, notThere(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errNoObject
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, notThere(err)
	case int64(len(b)) > limit:
		return nil, fmt.Errorf("the object has more than %d bytes", limit)
	}
	return b, nil
}

// notThere keeps an error that is of use to who has put the file there.
func notThere(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return errors.New("the object can't be read by the control process, which has no privileges (chmod o+r)")
	}
	return errNoObject
}
