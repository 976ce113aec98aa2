package http1

import "io"

// upgraded is a client's connection that its server has taken over for another
// protocol.
type upgraded struct{ *exchange }

func (u upgraded) Read(p []byte) (int, error) {
	n, err := u.cc.in.read(p)
	if err != nil && err != io.EOF {
		err = u.cause(err)
	}
	return n, err
}

func (u upgraded) Write(p []byte) (int, error) { return u.cc.conn.Write(p) }

func (u upgraded) Close() error {
	u.close.Do(func() {
		u.end()
		u.cc.close()
	})
	return nil
}
