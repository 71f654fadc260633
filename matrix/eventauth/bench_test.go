package eventauth_test

import (
	"fmt"
	"strings"
	"testing"

	"parley/internal/roomtest"
	"parley/matrix/event"
	"parley/matrix/eventauth"
	"parley/matrix/id"
	"parley/matrix/roomver"
)

// benchVersions are the last version that carries its room ID and the one that
// makes it from the create event.
var benchVersions = []roomver.Version{"11", "12"}

// benchRooms runs a benchmark in a small room and in one whose power levels
// name 2,000 users.
func benchRooms(b *testing.B, run func(b *testing.B, main *roomtest.Branch)) {
	for _, version := range benchVersions {
		for _, users := range []int{0, 2000} {
			b.Run(fmt.Sprintf("version=%s/users=%d", version, users), func(b *testing.B) {
				rules, _ := roomver.Lookup(version)
				main := scene(b, rules)
				main.Send(manyUsers(main, users, "before"))
				b.ReportAllocs()
				run(b, main)
			})
		}
	}
}

func benchCheck(b *testing.B, main *roomtest.Branch, spec roomtest.Spec) {
	e, state := main.Build(spec), main.State()
	if err := eventauth.Check(e, state); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if eventauth.Check(e, state) != nil {
			b.Fatal("refused")
		}
	}
}

func BenchmarkCheckMessage(b *testing.B) {
	benchRooms(b, func(b *testing.B, main *roomtest.Branch) { benchCheck(b, main, roomtest.Message(bob, "hi")) })
}

func BenchmarkCheckJoin(b *testing.B) {
	benchRooms(b, func(b *testing.B, main *roomtest.Branch) { benchCheck(b, main, roomtest.Join(carol)) })
}

func BenchmarkCheckBan(b *testing.B) {
	benchRooms(b, func(b *testing.B, main *roomtest.Branch) { benchCheck(b, main, roomtest.Ban(mod, bob)) })
}

// BenchmarkCheckPowerLevels changes every entry but those of the scene.
func BenchmarkCheckPowerLevels(b *testing.B) {
	benchRooms(b, func(b *testing.B, main *roomtest.Branch) {
		content := string(main.StateEvent(event.Tuple{Type: event.TypePowerLevels}).Content())
		benchCheck(b, main, roomtest.PowerLevels(mod, strings.ReplaceAll(content, `u.test":1`, `u.test":2`)))
	})
}

// BenchmarkCheckPowerLevelsOfManyCreators has 1,500 creators and as many users.
func BenchmarkCheckPowerLevelsOfManyCreators(b *testing.B) {
	for _, creators := range []int{1, 150, 1500} {
		b.Run(fmt.Sprintf("creators=%d", creators), func(b *testing.B) {
			list := make([]string, creators)
			for i := range list {
				list[i] = fmt.Sprintf("@creator%05d:creators.test", i)
			}
			main := roomtest.New(b, "12").Create(alice, map[string]any{"additional_creators": list})
			main.Send(roomtest.Join(alice), roomtest.JoinRules(alice, "public"), roomtest.Join(mod))
			s := manyUsers(main, 1500, "first")
			s.Sender = alice
			benchCheck(b, main, s)
		})
	}
}

func BenchmarkCheckAuthEvents(b *testing.B) {
	benchRooms(b, func(b *testing.B, main *roomtest.Branch) {
		e := main.Build(roomtest.Join(carol))
		known := eventauth.AuthEvents{Events: main.Room().AuthEvents(e), Create: main.Room().CreateEvent()}
		for b.Loop() {
			if err := eventauth.CheckAuthEvents(e, known); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCheckThirdPartyInvite finds no good signature among as many as are
// tried.
func BenchmarkCheckThirdPartyInvite(b *testing.B) {
	rules, _ := roomver.Lookup(roomver.Default)
	main := scene(b, rules)
	key := fmt.Sprintf(`{"public_key":%q}`, publicKey("other.test"))
	main.Send(roomtest.State(alice, event.TypeThirdPartyInvite, "token", `{"public_keys":[`+strings.Repeat(key+",", 899)+key+`]}`))
	e := main.Build(goodInvite)
	for b.Loop() {
		if eventauth.Check(e, main) == nil {
			b.Fatal("allowed")
		}
	}
}

func BenchmarkACL(b *testing.B) {
	for _, patterns := range []int{10, 1000} {
		list := make([]string, patterns)
		for i := range list {
			list[i] = fmt.Sprintf("*.evil%d.test", i)
		}
		main := roomtest.New(b, roomver.Default).Create(alice, nil)
		e := main.Build(roomtest.ServerACL(alice, map[string]any{"allow": []string{"*"}, "deny": list}))
		b.Run(fmt.Sprintf("patterns=%d/new", patterns), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				eventauth.NewACL(e)
			}
		})
		for _, server := range []id.ServerName{"matrix.good.test", "matrix.evil0.test"} {
			b.Run(fmt.Sprintf("patterns=%d/%s", patterns, server), func(b *testing.B) {
				acl := eventauth.NewACL(e)
				b.ReportAllocs()
				for b.Loop() {
					acl.Allows(server)
				}
			})
		}
	}
}
