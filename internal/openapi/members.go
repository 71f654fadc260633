package openapi

import (
	"fmt"
	"regexp"
	"strings"
)

// unknown calls f for the members of a value that none of its schemas names,
// though they name some, and do not say that there may be others. What is within
// an unknown member is not looked at.
func (c *Checker) unknown(v any, schemas []map[string]any, at []string, f func(at []string)) {
	schemas = c.parts(schemas)
	switch v := v.(type) {
	case []any:
		var items []map[string]any
		for _, s := range schemas {
			items = add(items, s["items"])
		}
		for i, element := range v {
			c.unknown(element, items, append(at, fmt.Sprint(i)), f)
		}
	case map[string]any:
		for name, value := range v {
			within, named, open := c.member(schemas, name)
			switch at := append(at, name); {
			case len(within) > 0:
				c.unknown(value, within, at, f)
			case named && !open:
				f(at)
			}
		}
	}
}

// member returns the schemas of a member, and whether there is a schema that names
// members at all, and one that is open for others.
func (c *Checker) member(schemas []map[string]any, name string) (within []map[string]any, named, open bool) {
	for _, s := range schemas {
		properties, patterns := object(s["properties"]), object(s["patternProperties"])
		named = named || len(properties) > 0 || len(patterns) > 0 // events between servers have none by their schema
		before := len(within)
		within = add(within, properties[name])
		for pattern, schema := range patterns {
			if regexp.MustCompile(pattern).MatchString(name) {
				within = add(within, schema)
			}
		}
		if others, ok := s["additionalProperties"]; ok && len(within) == before {
			open = open || others != false
			within = add(within, others)
		}
	}
	return within, named, open
}

// parts returns schemas with all that they are made of.
func (c *Checker) parts(schemas []map[string]any) (all []map[string]any) {
	for _, s := range schemas {
		all = append(all, s)
		var parts []map[string]any
		if ref, ok := s["$ref"].(string); ok {
			parts = add(parts, c.definitions[strings.TrimPrefix(ref, definitionsAt)])
		}
		for _, key := range []string{"allOf", "anyOf", "oneOf"} {
			list, _ := s[key].([]any)
			for _, part := range list {
				parts = add(parts, part)
			}
		}
		all = append(all, c.parts(parts)...)
	}
	return all
}

// add adds a schema, if it is one.
func add(schemas []map[string]any, v any) []map[string]any {
	if s := object(v); s != nil {
		return append(schemas, s)
	}
	return schemas
}
