package server

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"parley/internal/bucket"
	"parley/internal/config"
	"parley/internal/media"
)

// mediaOptions are those of the settings.
func (p *parts) mediaOptions(c config.Config) (media.Options, error) {
	dir := c.Media.Dir
	if dir == "" {
		dir = filepath.Join(c.DataDir, "media")
	}
	o := media.Options{
		Server: p.name, Dir: dir, MaxUpload: c.Media.MaxUpload, MaxRemote: c.Media.MaxRemote, UserQuota: c.Media.UserQuota,
		CacheSize: c.Media.CacheSize, Public: c.Media.Public, Previews: c.Media.Previews, Servers: p.federation.servers, Web: p.outbound, Log: p.log,
		Vips: c.Media.Vips, FFmpeg: c.Media.FFmpeg, ShelfSize: c.Bucket.ShelfSize, Redirect: c.Bucket.Redirect,
	}
	for _, program := range []*string{&o.Vips, &o.FFmpeg} {
		if *program == "" {
			continue
		}
		path, err := exec.LookPath(*program)
		if err == nil {
			path, err = filepath.Abs(path)
		}
		if err != nil {
			return o, fmt.Errorf("a program that draws: %w", err)
		}
		*program = path
	}
	if c.Bucket.Name == "" {
		return o, nil
	}
	var err error
	o.Bucket, err = bucket.Open(bucket.Options{
		Endpoint: c.Bucket.Endpoint, Region: c.Bucket.Region, Name: c.Bucket.Name, Prefix: c.Bucket.Prefix,
		AccessKey: c.Bucket.AccessKey, SecretKey: string(c.Bucket.SecretKey), Owner: string(p.name),
	})
	return o, err
}

// FetchMedia brings all files from the bucket to the directory, and returns how many
// these were.
func (s *Server) FetchMedia(ctx context.Context) (int, error) {
	if s.config.Bucket.Name == "" {
		return 0, errors.New("there is no bucket: bucket.name is not set")
	}
	return s.media.FetchAll(ctx)
}
