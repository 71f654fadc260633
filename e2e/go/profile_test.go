package e2e

import (
	"net/http"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/id"
)

func TestAProfileHasMoreThanAName(t *testing.T) {
	t.Parallel()
	phone, bobs := newUser(t, "alice").logsIn("phone"), newUser(t, "bob").logsIn("phone")
	for _, d := range []*device{phone, bobs} {
		_, err := d.Versions(background)
		d.did("asks for the versions", err)
	}
	phone.did("sets her time zone", phone.SetProfileField(background, "m.tz", "Europe/London"))
	phone.did("tells of her cats", phone.SetProfileField(background, "org.example.cats", 2))
	var tz struct {
		TZ string `json:"m.tz"`
	}
	if err := bobs.GetProfileField(background, phone.UserID, "m.tz", &tz); err != nil || tz.TZ != "Europe/London" {
		t.Errorf("alice's time zone is %+v, %v", tz, err)
	}
	phone.did("takes it back", phone.DeleteProfileField(background, "m.tz"))
	refused(t, "a field that is gone", bobs.GetProfileField(background, phone.UserID, "m.tz", &tz), mautrix.MNotFound)
	refused(t, "a field of somebody else", bobs.setsFieldOf(phone.UserID), mautrix.MForbidden)
	profile, err := bobs.GetProfile(background, phone.UserID)
	if err != nil || profile.Extra["org.example.cats"] != float64(2) {
		t.Errorf("alice's profile is %+v, %v", profile, err)
	}
}

func (d *device) setsFieldOf(u id.UserID) error {
	_, err := d.MakeRequest(background, http.MethodPut, d.BuildClientURL("v3", "profile", u, "m.tz"), map[string]string{"m.tz": "x"}, nil)
	return err
}
