package server

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"parley/internal/bucket"
	"parley/internal/config"
	"parley/internal/media"
	"parley/matrix/id"
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
	if p.sso != nil {
		for _, provider := range p.sso.Providers() {
			o.Icons = append(o.Icons, id.ContentURI(provider.Icon))
		}
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

// mediaMetrics are the numbers of files.
func mediaMetrics(s *media.Store) (all []prometheus.Collector) {
	counter := func(name, help string, of func(media.Counts) int64) {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "parley_media_" + name + "_total", Help: help},
			func() float64 { return float64(of(s.Counts())) }))
	}
	gauge := func(name, help string, of func(media.Counts) int64) {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "parley_media_" + name, Help: help},
			func() float64 { return float64(of(s.Counts())) }))
	}
	counter("uploads", "Files that were uploaded.", func(c media.Counts) int64 { return c.Uploads })
	counter("upload_bytes", "Bytes that were uploaded.", func(c media.Counts) int64 { return c.UploadBytes })
	counter("uploads_over_quota", "Uploads that were refused because their user has uploaded enough.", func(c media.Counts) int64 { return c.Refused })
	counter("copies", "Files of other servers, and pictures of previews, that were fetched.", func(c media.Counts) int64 { return c.Fetched })
	counter("copied_bytes", "Bytes of these.", func(c media.Counts) int64 { return c.FetchedBytes })
	counter("fetch_failures", "Files of other servers that could not be had.", func(c media.Counts) int64 { return c.FetchFailures })
	counter("thumbnails_drawn", "Thumbnails that were drawn.", func(c media.Counts) int64 { return c.Drawn })
	counter("evicted", "Copies that were removed to make room for others.", func(c media.Counts) int64 { return c.Evicted })
	counter("evicted_bytes", "Bytes of these.", func(c media.Counts) int64 { return c.EvictedBytes })
	counter("collected", "Files that nothing named any more, as a crash leaves them.", func(c media.Counts) int64 { return c.Collected })
	counter("bucket_failures", "Requests to the bucket that failed.", func(c media.Counts) int64 { return c.BucketFailures })
	gauge("copy_bytes", "How much the copies take, of media.cache_size.", func(c media.Counts) int64 { return c.CopyBytes })
	gauge("local_bytes", "How much there is beside the bucket, of bucket.local_size.", func(c media.Counts) int64 { return c.ShelfBytes })
	return all
}
