package appservice

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"parley/matrix/canonjson"
)

// lookupTime is how long services may take to say what they know of a network, while
// somebody waits for it.
const lookupTime = 10 * time.Second

// provide reports whether a service provides a protocol, or any if that is empty.
func (s *Service) provide(protocol string) bool {
	return s.URL != "" && (protocol == "" && len(s.Protocols) > 0 || slices.Contains(s.Protocols, protocol))
}

// everybody asks all services that provide a protocol, side by side, and returns what
// those have answered that have, in the order of the services.
func (s *Services) everybody(ctx context.Context, protocol string, path string) (services []*Service, answers []canonjson.Value) {
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	for _, service := range s.Set().All() {
		if service.provide(protocol) && !s.isDown(service) {
			services = append(services, service)
		}
	}
	answers = make([]canonjson.Value, len(services))
	var asking sync.WaitGroup
	for i, service := range services {
		asking.Go(func() {
			answer, err := s.call(ctx, service, request{
				method: http.MethodGet, path: "/_matrix/app/v1/thirdparty/" + path, old: "/_matrix/app/unstable/thirdparty/" + path,
			})
			if err == nil && answer.ok() {
				answers[i] = answer.json()
			}
		})
	}
	asking.Wait()
	return services, answers
}

// Protocols returns what there is to know of all protocols that services provide, by
// their names. Protocols of which no service says anything are left out.
// https://spec.matrix.org/v1.19/client-server-api/#third-party-lookups
func (s *Services) Protocols(ctx context.Context) map[string]canonjson.Value {
	var names []string
	for _, service := range s.Set().All() {
		if service.URL != "" {
			names = append(names, service.Protocols...)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	found := make([]canonjson.Value, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() { found[i] = s.Protocol(ctx, name) })
	}
	asking.Wait()
	protocols := make(map[string]canonjson.Value)
	for i, name := range names {
		if found[i] != nil {
			protocols[name] = found[i]
		}
	}
	return protocols
}

// Protocol returns what there is to know of a protocol, nil if no service says anything.
// It is as the first service has it, with the instances of all of them. By what
// instances are called here the rooms that are published in them are found.
func (s *Services) Protocol(ctx context.Context, name string) (protocol canonjson.Value) {
	services, answers := s.everybody(ctx, name, "protocol/"+url.PathEscape(name))
	instances := []canonjson.Value{}
	for i, answer := range answers {
		if !isProtocol(answer) {
			continue
		}
		if protocol == nil {
			protocol = answer
		}
		for instance := range answer.Get("instances").Elements() {
			if network, ok := instance.Get("network_id").Text(); ok && has(instance, "desc", canonjson.String) && has(instance, "fields", canonjson.Object) {
				instances = append(instances, instance.With("instance_id", canonjson.Text(InstanceID(services[i], network))))
			}
		}
	}
	if protocol == nil {
		return nil
	}
	return protocol.With("instances", canonjson.ArrayOf(instances))
}

// InstanceID is what a network of a service is called here.
func InstanceID(service *Service, network string) string { return service.ID + "|" + network }

func isProtocol(v canonjson.Value) bool {
	return has(v, "user_fields", canonjson.Array) && has(v, "location_fields", canonjson.Array) &&
		has(v, "icon", canonjson.String) && has(v, "field_types", canonjson.Object)
}

func has(v canonjson.Value, member string, kind canonjson.Kind) bool {
	return v.Get(member).Kind() == kind
}

// A Lookup is what is looked for in third-party networks.
type Lookup string

// What is looked for, by the end of the path.
const (
	Locations Lookup = "location"
	Users     Lookup = "user"
)

// Find returns what all services know of locations or users: of a protocol by its
// fields, which are in the query, or of a Matrix name, which is, if the protocol is
// empty. There may be nothing.
func (s *Services) Find(ctx context.Context, what Lookup, protocol string, query url.Values) []canonjson.Value {
	path := string(what)
	if protocol != "" {
		path += "/" + url.PathEscape(protocol)
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	name := map[Lookup]string{Locations: "alias", Users: "userid"}[what]
	found := []canonjson.Value{}
	_, answers := s.everybody(ctx, protocol, path)
	for _, answer := range answers {
		if answer.Kind() != canonjson.Array {
			continue
		}
		for v := range answer.Elements() {
			if has(v, name, canonjson.String) && has(v, "protocol", canonjson.String) && has(v, "fields", canonjson.Object) {
				found = append(found, v)
			}
		}
	}
	return found
}
