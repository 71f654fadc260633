package server

import (
	"path/filepath"

	"parley/internal/config"
	"parley/internal/media"
)

// mediaOptions are those of the settings.
func (p *parts) mediaOptions(c config.Config) media.Options {
	dir := c.Media.Dir
	if dir == "" {
		dir = filepath.Join(c.DataDir, "media")
	}
	return media.Options{
		Server: p.name, Dir: dir, MaxUpload: c.Media.MaxUpload, MaxRemote: c.Media.MaxRemote, UserQuota: c.Media.UserQuota,
		CacheSize: c.Media.CacheSize, Public: c.Media.Public, Previews: c.Media.Previews, Servers: p.federation.servers, Web: p.outbound, Log: p.log,
	}
}
