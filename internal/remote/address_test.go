package remote

import (
	"net/netip"
	"testing"
)

func TestHowFarAddressesAre(t *testing.T) {
	for text, want := range map[string]scope{
		"8.8.8.8": worldwide, "1.1.1.1": worldwide, "223.255.255.255": worldwide, "172.15.255.255": worldwide, "172.32.0.0": worldwide,
		"100.63.255.255": worldwide, "100.128.0.0": worldwide, "169.253.0.1": worldwide, "192.167.0.1": worldwide, "9.255.255.255": worldwide,
		"127.0.0.1": nearby, "127.255.255.254": nearby, "10.0.0.1": nearby, "172.16.0.1": nearby, "172.31.255.255": nearby, "192.168.1.1": nearby,
		"169.254.169.254": nearby, "100.64.0.1": nearby, "198.18.0.1": nearby, "198.19.255.255": nearby,
		"0.0.0.0": nowhere, "0.1.2.3": nowhere, "192.0.0.8": nowhere, "192.0.2.1": nowhere, "198.51.100.1": nowhere, "203.0.113.1": nowhere,
		"224.0.0.1": nowhere, "239.1.1.1": nowhere, "240.0.0.1": nowhere, "255.255.255.255": nowhere,

		"2606:4700::1111": worldwide, "2a00::1": worldwide, "3ffe::1": worldwide, "2001:4860::8888": worldwide, "2001:200::1": worldwide,
		"::1": nearby, "fe80::1": nearby, "fe80::1%eth0": nearby, "fec0::1": nearby, "fc00::1": nearby, "fd12:3456::1": nearby, "64:ff9b:1::808:808": nearby,
		"::": nowhere, "::2": nowhere, "2001::1": nowhere, "2001:db8::1": nowhere, "3fff::1": nowhere, "ff02::1": nowhere, "100::1": nowhere, "4000::1": nowhere,
		"2606:4700::1111%eth0": nearby, "::%1": nowhere,

		"::ffff:8.8.8.8": worldwide, "::ffff:127.0.0.1": nearby, "::ffff:10.1.2.3": nearby, "::ffff:0.0.0.0": nowhere, "::ffff:169.254.169.254": nearby,
		"::127.0.0.1": nowhere, "::8.8.8.8": nowhere, "64:ff9b::8.8.8.8": worldwide, "64:ff9b::127.0.0.1": nearby, "64:ff9b::10.0.0.1": nearby,
		"::ffff:0:8.8.8.8": worldwide, "::ffff:0:192.168.0.1": nearby,
		"2002:808:808::1": worldwide, "2002:7f00:1::1": nearby, "2002:a00:1::": nearby, "2002:e000:1::": nowhere,
	} {
		a, err := netip.ParseAddr(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := reach(a); got != want {
			t.Errorf("%s: got %d, want %d", text, got, want)
		}
	}
	if reach(netip.Addr{}) == worldwide {
		t.Error("no address is public")
	}
}

// FuzzReach holds the table against what net/netip knows, in every disguise.
func FuzzReach(f *testing.F) {
	for _, text := range []string{"8.8.8.8", "10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "fe80::1", "2606:4700::1111"} {
		a := netip.MustParseAddr(text)
		f.Add(a.AsSlice())
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		a, ok := netip.AddrFromSlice(bytes)
		if !ok {
			return
		}
		if plain := a.Unmap(); reach(a) == worldwide && (plain.IsPrivate() || plain.IsLoopback() || plain.IsMulticast() || plain.IsUnspecified() ||
			plain.IsLinkLocalUnicast() || plain.IsInterfaceLocalMulticast() || !plain.IsGlobalUnicast()) {
			t.Errorf("%s is public", a)
		}
		if !a.Is4() {
			return
		}
		four := a.As4()
		for _, disguise := range []netip.Addr{
			netip.AddrFrom16(a.As16()),
			netip.AddrFrom16([16]byte{1: 0x64, 2: 0xff, 3: 0x9b, 12: four[0], 13: four[1], 14: four[2], 15: four[3]}),
			netip.AddrFrom16([16]byte{0x20, 0x02, four[0], four[1], four[2], four[3], 15: 1}),
			netip.AddrFrom16([16]byte{8: 0xff, 9: 0xff, 12: four[0], 13: four[1], 14: four[2], 15: four[3]}),
		} {
			if reach(disguise) != reach(a) {
				t.Errorf("%s reaches %d, but %s %d", a, reach(a), disguise, reach(disguise))
			}
		}
	})
}
