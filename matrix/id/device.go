package id

// A DeviceID names one device of one user. Clients may choose it when they log
// in, and the specification gives it no grammar.
//
// https://spec.matrix.org/v1.19/#devices
type DeviceID string

// ParseDeviceID accepts any valid UTF-8 without NUL that is not empty.
func ParseDeviceID(s string) (DeviceID, error) {
	return parse[DeviceID](KindDeviceID, s, checkDeviceID)
}

// ParseStrictDeviceID accepts the opaque identifier grammar, see [IsOpaque]: what
// this server generates, and what needs no escaping anywhere.
func ParseStrictDeviceID(s string) (DeviceID, error) {
	return parse[DeviceID](KindDeviceID, s, checkOpaqueDeviceID)
}

func checkDeviceID(s string) string {
	if reason := checkLength(s); reason != "" {
		return reason
	}
	return checkText(s, 0)
}

func checkOpaqueDeviceID(s string) string {
	if reason := checkLength(s); reason != "" {
		return reason
	}
	return checkChars(s, 0, &opaqueChars, "device ID")
}
