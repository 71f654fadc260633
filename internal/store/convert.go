package store

import (
	"database/sql"
	"database/sql/driver"
	"fmt"
	"reflect"
)

// plain turns an argument into one of int64, string, []byte, bool or nil.
func plain(arg any) (any, error) {
	switch v := arg.(type) {
	case nil, int64, string, bool:
		return v, nil
	case []byte:
		if v == nil {
			return nil, nil
		}
		return v, nil
	case int:
		return int64(v), nil
	case uint64:
		return int64(v), nil
	case driver.Valuer:
		value, err := v.Value()
		if err != nil {
			return nil, err
		}
		if _, again := value.(driver.Valuer); again {
			return nil, fmt.Errorf("value of %T is a driver.Valuer itself", arg)
		}
		return plain(value)
	}
	v := reflect.ValueOf(arg)
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int(), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return int64(v.Uint()), nil
	case reflect.String:
		return v.String(), nil
	case reflect.Bool:
		return v.Bool(), nil
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			if v.IsNil() {
				return nil, nil
			}
			return v.Bytes(), nil
		}
	case reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			b := make([]byte, v.Len())
			reflect.Copy(reflect.ValueOf(b), v)
			return b, nil
		}
	}
	return nil, fmt.Errorf("cannot store a value of type %T", arg)
}

// source reads one column in the form that a destination wants.
type source interface {
	int64() (int64, error)
	text() (string, error)
	bytes() ([]byte, error) // the caller's
	bool() (bool, error)
	any() any // for sql.Scanner
}

// assign stores a column in a destination.
func assign(dest any, from source) (err error) {
	switch d := dest.(type) {
	case sql.Scanner:
		return d.Scan(from.any())
	case *int64:
		*d, err = from.int64()
		return err
	case *string:
		*d, err = from.text()
		return err
	case *[]byte:
		*d, err = from.bytes()
		return err
	case *bool:
		*d, err = from.bool()
		return err
	}
	v := reflect.ValueOf(dest)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("cannot read into %T", dest)
	}
	return assignKind(v.Elem(), from)
}

func assignKind(v reflect.Value, from source) error {
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := from.int64()
		v.SetInt(n)
		return err
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := from.int64()
		v.SetUint(uint64(n))
		return err
	case reflect.String:
		s, err := from.text()
		v.SetString(s)
		return err
	case reflect.Bool:
		b, err := from.bool()
		v.SetBool(b)
		return err
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			b, err := from.bytes()
			v.SetBytes(b)
			return err
		}
	case reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			b, err := from.bytes()
			if err != nil {
				return err
			}
			if len(b) != 0 && len(b) != v.Len() {
				return fmt.Errorf("%d bytes where %d are expected", len(b), v.Len())
			}
			v.SetZero()
			reflect.Copy(v, reflect.ValueOf(b))
			return nil
		}
	}
	return fmt.Errorf("cannot read into *%s", v.Type())
}
