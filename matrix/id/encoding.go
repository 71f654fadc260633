package id

import (
	"database/sql/driver"
	"fmt"
)

// The three functions here are the whole of how identifiers meet JSON and SQL;
// the methods below only name the type and its parser. The package comment says
// what callers can rely on.

func unmarshal[T ~string](dst *T, text []byte, parse func(string) (T, error)) error {
	v, err := parse(string(text))
	if err != nil {
		return err
	}
	*dst = v
	return nil
}

// scan copies a []byte: the driver may use its memory again.
func scan[T ~string](dst *T, src any, kind Kind) error {
	switch src := src.(type) {
	case nil:
		*dst = ""
	case string:
		*dst = T(src)
	case []byte:
		*dst = T(src)
	default:
		return refuse(kind, "", fmt.Sprintf("a database value of type %T is not text", src))
	}
	return nil
}

func value[T ~string](v T) (driver.Value, error) {
	if v == "" {
		return nil, nil
	}
	return string(v), nil
}

func (n *ServerName) UnmarshalText(text []byte) error { return unmarshal(n, text, ParseServerName) }
func (n *ServerName) Scan(src any) error              { return scan(n, src, KindServerName) }
func (n ServerName) Value() (driver.Value, error)     { return value(n) }

func (u *UserID) UnmarshalText(text []byte) error { return unmarshal(u, text, ParseUserID) }
func (u *UserID) Scan(src any) error              { return scan(u, src, KindUserID) }
func (u UserID) Value() (driver.Value, error)     { return value(u) }

func (r *RoomID) UnmarshalText(text []byte) error { return unmarshal(r, text, ParseRoomID) }
func (r *RoomID) Scan(src any) error              { return scan(r, src, KindRoomID) }
func (r RoomID) Value() (driver.Value, error)     { return value(r) }

func (a *RoomAlias) UnmarshalText(text []byte) error { return unmarshal(a, text, ParseRoomAlias) }
func (a *RoomAlias) Scan(src any) error              { return scan(a, src, KindRoomAlias) }
func (a RoomAlias) Value() (driver.Value, error)     { return value(a) }

func (e *EventID) UnmarshalText(text []byte) error { return unmarshal(e, text, ParseEventID) }
func (e *EventID) Scan(src any) error              { return scan(e, src, KindEventID) }
func (e EventID) Value() (driver.Value, error)     { return value(e) }

func (k *KeyID) UnmarshalText(text []byte) error { return unmarshal(k, text, ParseKeyID) }
func (k *KeyID) Scan(src any) error              { return scan(k, src, KindKeyID) }
func (k KeyID) Value() (driver.Value, error)     { return value(k) }

func (u *ContentURI) UnmarshalText(text []byte) error { return unmarshal(u, text, ParseContentURI) }
func (u *ContentURI) Scan(src any) error              { return scan(u, src, KindContentURI) }
func (u ContentURI) Value() (driver.Value, error)     { return value(u) }

func (d *DeviceID) UnmarshalText(text []byte) error { return unmarshal(d, text, ParseDeviceID) }
func (d *DeviceID) Scan(src any) error              { return scan(d, src, KindDeviceID) }
func (d DeviceID) Value() (driver.Value, error)     { return value(d) }
