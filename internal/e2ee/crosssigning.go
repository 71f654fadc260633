package e2ee

import (
	"strings"

	"parley/matrix/canonjson"
	"parley/matrix/id"
)

// publicOf returns the public key of a cross-signing key, which is its only one;
// empty if it is not such a key.
func publicOf(key canonjson.Value) string {
	public := ""
	for name, value := range key.Get("keys").Members() {
		text, _ := name.Text()
		_, ok := publicKey(value)
		if !ok || public != "" || text != "ed25519:"+value.String() {
			return ""
		}
		public = value.String()
	}
	return public
}

// IsCrossSigning reports whether an object has the form of a cross-signing key of a
// user, for a usage such as master. It says nothing of signatures.
func IsCrossSigning(key canonjson.Value, user id.UserID, usage string) bool {
	used := false
	for u := range key.Get("usage").Elements() {
		used = used || u.Is(usage)
	}
	return used && checkObject("", key, 2*maxKeyObject) == nil && key.Get("user_id").Is(string(user)) && publicOf(key) != ""
}

// keyIDOf is the name of a key that was made of its public half.
func keyIDOf(public string) string { return "ed25519:" + strings.TrimSpace(public) }
