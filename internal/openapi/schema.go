package openapi

import (
	"fmt"
	"strings"
)

// What keywords of schemas have as their value.
const (
	isValue   = iota + 1 // as it is
	isSchema             // a schema, or a boolean
	isSchemas            // a list of schemas
	isNamed              // schemas by name
	isNothing            // for people, who read the specification
)

// keywords are those that the data uses.
var keywords = map[string]int{
	"type": isValue, "enum": isValue, "const": isValue, "required": isValue, "pattern": isValue, "format": isValue,
	"minimum": isValue, "maximum": isValue, "minLength": isValue, "maxLength": isValue,
	"minItems": isValue, "maxItems": isValue, "uniqueItems": isValue, "minProperties": isValue, "maxProperties": isValue,
	"additionalProperties": isSchema, "items": isSchema, "propertyNames": isSchema, "not": isSchema,
	"allOf": isSchemas, "anyOf": isSchemas, "oneOf": isSchemas,
	"properties": isNamed, "patternProperties": isNamed,
	"description": isNothing, "title": isNothing, "example": isNothing, "examples": isNothing, "default": isNothing,
	"deprecated": isNothing, "$schema": isNothing, "externalDocs": isNothing, "readOnly": isNothing,
}

// schema returns a schema of a file with nothing in it but what decides. What it
// refers to becomes one of the definitions.
func (x *extractor) schema(file string, from map[string]any) (map[string]any, error) {
	to := make(map[string]any)
	for key, v := range from {
		var err error
		switch kind := keywords[key]; {
		case key == "$ref":
			to[key], err = x.define(file, v.(string))
		case kind == isValue:
			to[key] = v
		case kind == isSchema && object(v) == nil:
			to[key] = v
		case kind == isSchema:
			to[key], err = x.schema(file, object(v))
		case kind == isSchemas:
			var list []any
			for _, v := range v.([]any) {
				var s any
				if s, err = x.schema(file, object(v)); err != nil {
					break
				}
				list = append(list, s)
			}
			to[key] = list
		case kind == isNamed:
			named := make(map[string]any)
			for name, v := range object(v) {
				if named[name], err = x.schema(file, object(v)); err != nil {
					break
				}
			}
			to[key] = named
		case kind == 0 && !strings.HasPrefix(key, "x-"):
			err = fmt.Errorf("there is a keyword %s", key)
		}
		if err != nil {
			return nil, err
		}
	}
	return to, nil
}

// define makes what a reference leads to one of the definitions, and returns the
// reference to that.
func (x *extractor) define(file, ref string) (string, error) {
	v, in, err := x.follow(file, ref)
	if err != nil {
		return "", err
	}
	name := strings.TrimSuffix(strings.TrimPrefix(in, "api/client-server/"), ".yaml")
	if _, fragment, ok := strings.Cut(ref, "#"); ok {
		name += strings.TrimPrefix(fragment, "/components")
	}
	name = strings.ReplaceAll(name, "/", ".")
	if _, ok := x.definitions[name]; !ok {
		x.definitions[name] = nil // it may refer to itself
		s, err := x.schema(in, object(v))
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		x.definitions[name] = s
	}
	return definitionsAt + name, nil
}

const definitionsAt = "#/definitions/"
