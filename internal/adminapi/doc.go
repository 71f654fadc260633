// Package adminapi is what administrators of a server do with it over HTTP.
//
// Moderation tools and consoles are written for the API of Synapse:
// https://element-hq.github.io/synapse/latest/usage/administration/admin_api/.
// So what it has a path for has that path here, and answers as it does. What it
// has none for is below /_parley/admin/v1.
//
// All routes are for users with the admin flag, and for nobody else. They have no
// limits of their own: who administers the server can do worse than ask too much.
package adminapi
