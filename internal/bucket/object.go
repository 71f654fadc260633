package bucket

import (
	"context"
	"errors"
	"io"

	"github.com/minio/minio-go/v7"
)

// Object is the content of an object. What is read is asked for when it is: the rest
// of the object from where the reader stands.
type Object struct {
	ctx  context.Context
	b    *Bucket
	key  string
	size int64
	at   int64
	body io.ReadCloser // from at on; nil: nothing was asked for
}

// Get returns an object of which the size is known. The context is for all that is
// read of it.
func (b *Bucket) Get(ctx context.Context, key string, size int64) *Object {
	return &Object{ctx: ctx, b: b, key: key, size: size}
}

func (o *Object) Read(p []byte) (int, error) {
	if o.at >= o.size {
		return 0, io.EOF
	}
	if o.body == nil {
		var options minio.GetObjectOptions
		if o.at > 0 {
			if err := options.SetRange(o.at, 0); err != nil {
				return 0, err
			}
		}
		body, _, _, err := o.b.core.GetObject(o.ctx, o.b.o.Name, o.b.o.Prefix+o.key, options)
		if err != nil {
			return 0, o.b.wrap(err, "reading", o.key)
		}
		o.body = body
	}
	n, err := o.body.Read(p)
	o.at += int64(n)
	switch {
	case err == io.EOF && o.at < o.size:
		err = o.b.wrap(io.ErrUnexpectedEOF, "reading", o.key)
	case err != nil && err != io.EOF:
		err = o.b.wrap(err, "reading", o.key)
	}
	return n, err
}

// Seek implements io.Seeker.
func (o *Object) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += o.at
	case io.SeekEnd:
		offset += o.size
	}
	if offset < 0 {
		return o.at, errors.New("seeking to before the beginning")
	}
	if offset != o.at {
		o.Close()
		o.at = offset
	}
	return o.at, nil
}

// Close ends what is being read.
func (o *Object) Close() error {
	if o.body == nil {
		return nil
	}
	err := o.body.Close()
	o.body = nil
	return err
}
