// Package bucket keeps objects in a bucket of a service that speaks the protocol of
// Amazon S3, as many do. https://docs.aws.amazon.com/AmazonS3/latest/API/
//
// An object is stored as a whole or not at all: one that is large goes in parts,
// which become an object with the last request, and [Bucket.Abort] removes those of
// which none has come. All keys lie under a prefix that belongs to one owner: the
// first that writes there leaves a note of it, and another is refused, lest it takes
// what it does not know for rubbish.
//
// Requests are tried again a few times by themselves. An error is what is left of
// that. Objects pass through in pieces.
package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Options of a Bucket.
type Options struct {
	// Endpoint is the URL of the service, without the bucket.
	Endpoint string
	// Region is where the bucket is; empty asks the service.
	Region string
	// Name is that of the bucket, and Prefix that of the keys in it, "" or with a slash
	// at its end.
	Name, Prefix string
	// AccessKey and SecretKey say who asks.
	AccessKey, SecretKey string
	// Owner is whom the prefix belongs to.
	Owner string
}

// Bucket is a bucket. It is safe for concurrent use.
type Bucket struct {
	o      Options
	client *minio.Client
	core   minio.Core // the same, with requests as they are

	mu      sync.Mutex
	claimed bool
}

var (
	// ErrNotFound: there is no such object.
	ErrNotFound = errors.New("there is no such object")
	// ErrOwned: the prefix belongs to somebody else.
	ErrOwned = errors.New("the prefix belongs to another server")
)

const (
	// attempts is how often a request is made.
	attempts = 3
	// answerTime is how long the service may take to begin an answer.
	answerTime = 30 * time.Second
	// partSize is of how many bytes the parts of a large object are; 10,000 are the
	// most that there may be.
	partSize = 16 << 20
	// ownerKey is the object that says who the owner is.
	ownerKey = "owner"
)

// Open returns a bucket. Nothing is asked of the service yet.
func Open(o Options) (*Bucket, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("%q is not the URL of a service without a path", o.Endpoint)
	}
	transport, err := minio.DefaultTransport(u.Scheme == "https")
	if err != nil {
		return nil, err
	}
	transport.ResponseHeaderTimeout = answerTime
	client, err := minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""), Secure: u.Scheme == "https",
		Region: o.Region, Transport: transport, MaxRetries: attempts,
	})
	if err != nil {
		return nil, fmt.Errorf("the bucket %s: %w", o.Name, err)
	}
	return &Bucket{o: o, client: client, core: minio.Core{Client: client}}, nil
}

// String returns the name of the bucket, for messages.
func (b *Bucket) String() string { return b.o.Name }

// wrap says what was being done, and whether the object is not there.
func (b *Bucket) wrap(err error, doing, key string) error {
	if err == nil {
		return nil
	}
	if r := minio.ToErrorResponse(err); r.Code == "NoSuchKey" || r.StatusCode == http.StatusNotFound && r.Code != "NoSuchBucket" {
		err = ErrNotFound
	}
	return fmt.Errorf("%s %s in the bucket %s: %w", doing, key, b.o.Name, err)
}

// claim makes sure that the prefix is the owner's.
func (b *Bucket) claim(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.claimed {
		return nil
	}
	key := b.o.Prefix + ownerKey
	body, _, _, err := b.core.GetObject(ctx, b.o.Name, key, minio.GetObjectOptions{})
	if err := b.wrap(err, "reading", key); errors.Is(err, ErrNotFound) {
		_, err = b.client.PutObject(ctx, b.o.Name, key, strings.NewReader(b.o.Owner), int64(len(b.o.Owner)), putOptions(int64(len(b.o.Owner))))
		b.claimed = err == nil
		return b.wrap(err, "storing", key)
	} else if err != nil {
		return err
	}
	defer body.Close()
	owner, err := io.ReadAll(io.LimitReader(body, 1<<10))
	if err != nil {
		return b.wrap(err, "reading", key)
	}
	if string(owner) != b.o.Owner {
		return fmt.Errorf("%w: %q is the owner of %s%s", ErrOwned, owner, b.o.Name, "/"+b.o.Prefix)
	}
	b.claimed = true
	return nil
}

func putOptions(size int64) minio.PutObjectOptions {
	return minio.PutObjectOptions{
		ContentType: "application/octet-stream", PartSize: partSize, NumThreads: 2,
		// Some services do not take signed pieces that are none.
		DisableContentSha256: size == 0,
	}
}

// Put stores an object of so many bytes, in place of what there may be.
func (b *Bucket) Put(ctx context.Context, key string, content *os.File, size int64) error {
	if err := b.claim(ctx); err != nil {
		return err
	}
	_, err := b.client.PutObject(ctx, b.o.Name, b.o.Prefix+key, content, size, putOptions(size))
	return b.wrap(err, "storing", key)
}

// Has reports whether there is an object.
func (b *Bucket) Has(ctx context.Context, key string) (bool, error) {
	_, err := b.client.StatObject(ctx, b.o.Name, b.o.Prefix+key, minio.StatObjectOptions{})
	err = b.wrap(err, "looking for", key)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Remove removes an object. That there is none is no error.
func (b *Bucket) Remove(ctx context.Context, key string) error {
	if err := b.claim(ctx); err != nil {
		return err
	}
	err := b.wrap(b.client.RemoveObject(ctx, b.o.Name, b.o.Prefix+key, minio.RemoveObjectOptions{}), "removing", key)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// List returns the keys that begin with something. After an error there is nothing.
func (b *Bucket) List(ctx context.Context, begin string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := b.claim(ctx); err != nil {
			yield("", err)
			return
		}
		ctx, cancel := context.WithCancel(ctx) // ends what lists when nobody reads on
		defer cancel()
		for o := range b.client.ListObjects(ctx, b.o.Name, minio.ListObjectsOptions{Prefix: b.o.Prefix + begin, Recursive: true}) {
			if o.Err != nil {
				yield("", b.wrap(o.Err, "listing", begin))
				return
			}
			if !yield(strings.TrimPrefix(o.Key, b.o.Prefix), nil) {
				return
			}
		}
	}
}

// Link returns a URL under which everybody has an object for a while, with a content
// type and disposition. That there is one is not looked for.
func (b *Bucket) Link(ctx context.Context, key string, age time.Duration, contentType, disposition string) (string, error) {
	u, err := b.client.PresignedGetObject(ctx, b.o.Name, b.o.Prefix+key, age, url.Values{
		"response-content-type": {contentType}, "response-content-disposition": {disposition},
	})
	if err != nil {
		return "", b.wrap(err, "signing a link to", key)
	}
	return u.String(), nil
}

// Abort removes the parts of objects that began to be stored before a time and have
// not become objects.
func (b *Bucket) Abort(ctx context.Context, before time.Time) error {
	if err := b.claim(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range b.client.ListIncompleteUploads(ctx, b.o.Name, b.o.Prefix, true) {
		if err := b.wrap(o.Err, "listing parts of", b.o.Prefix); errors.Is(err, ErrNotFound) {
			return nil // some services have no list until there is something on it
		} else if err != nil {
			return err
		}
		if !o.Initiated.Before(before) {
			continue
		}
		if err := b.core.AbortMultipartUpload(ctx, b.o.Name, o.Key, o.UploadID); err != nil {
			return b.wrap(err, "removing parts of", o.Key)
		}
	}
	return nil
}
