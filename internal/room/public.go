package room

import (
	"context"

	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
	"parley/matrix/roomver"
)

// A PublicRoom is a summary as users and other servers get it from the directory.
type PublicRoom struct {
	RoomID         id.RoomID `json:"room_id"`
	Name           string    `json:"name,omitempty"`
	Topic          string    `json:"topic,omitempty"`
	CanonicalAlias string    `json:"canonical_alias,omitempty"`
	AvatarURL      string    `json:"avatar_url,omitempty"`
	JoinRule       string    `json:"join_rule,omitempty"`
	RoomType       string    `json:"room_type,omitempty"`
	Joined         int64     `json:"num_joined_members"`
	WorldReadable  bool      `json:"world_readable"`
	GuestCanJoin   bool      `json:"guest_can_join"`
}

// Public is the summary as the directory has it.
func (s Summary) Public() PublicRoom {
	return PublicRoom{
		RoomID: s.RoomID, Name: s.Name, Topic: s.Topic, CanonicalAlias: s.CanonicalAlias, AvatarURL: s.AvatarURL,
		JoinRule: s.JoinRule, RoomType: s.RoomType, Joined: s.Joined, WorldReadable: s.WorldReadable, GuestCanJoin: s.GuestCanJoin,
	}
}

// A DescribedRoom is a summary as it is told beyond the directory.
type DescribedRoom struct {
	PublicRoom
	Allowed    []id.RoomID     `json:"allowed_room_ids,omitempty"`
	Encryption string          `json:"encryption,omitempty"`
	Version    roomver.Version `json:"room_version,omitempty"`
}

// Described is the summary as it is told beyond the directory.
func (s Summary) Described() DescribedRoom {
	return DescribedRoom{PublicRoom: s.Public(), Allowed: s.Allowed, Encryption: s.Encryption, Version: s.Version}
}

// ReadSummary reads a DescribedRoom, or a PublicRoom, of another server. What makes
// no sense of it is left out; ok is false if nothing does.
func ReadSummary(v canonjson.Value) (s Summary, ok bool) {
	text := func(name string) string {
		t, _ := v.Get(name).Text()
		return t
	}
	var err error
	if s.RoomID, err = id.ParseRoomID(text("room_id")); err != nil {
		return s, false
	}
	s.Name, s.Topic, s.JoinRule, s.RoomType, s.Encryption = text("name"), text("topic"), text("join_rule"), text("room_type"), text("encryption")
	if _, err := id.ParseRoomAlias(text("canonical_alias")); err == nil {
		s.CanonicalAlias = text("canonical_alias")
	}
	if avatar, err := id.ParseContentURI(text("avatar_url")); err == nil {
		s.AvatarURL = string(avatar)
	}
	if s.JoinRule == "" {
		s.JoinRule = "public" // as it was before others were told
	}
	joined, _ := v.Get("num_joined_members").Int()
	s.Joined = max(0, joined)
	s.WorldReadable, s.GuestCanJoin = v.Get("world_readable").True(), v.Get("guest_can_join").True()
	s.Version = roomver.Version(text("room_version"))
	for element := range v.Get("allowed_room_ids").Elements() {
		name, _ := element.Text()
		if roomID, err := id.ParseRoomID(name); err == nil {
			s.Allowed = append(s.Allowed, roomID)
		}
	}
	return s, true
}

// A PublicQuery says which rooms of the directory somebody wants to see.
type PublicQuery struct {
	Limit  *int64 `json:"limit,omitempty"`
	Since  string `json:"since,omitempty"`
	Filter struct {
		Term  string    `json:"generic_search_term,omitempty"`
		Types []*string `json:"room_types,omitzero"` // nil stands for rooms without a type
	} `json:"filter"`
	AllNetworks bool   `json:"include_all_networks,omitempty"`
	Network     string `json:"third_party_instance_id,omitempty"`
}

// search is what the query looks for.
func (q PublicQuery) search() Search {
	search := Search{Term: q.Filter.Term, Network: q.Network}
	if q.AllNetworks {
		search.Network = AllNetworks
	}
	for _, t := range q.Filter.Types {
		if t == nil {
			t = new(string)
		}
		search.Types = append(search.Types, *t)
	}
	if search.Types == nil && q.Filter.Types != nil {
		search.Types = []string{}
	}
	return search
}

// PublicRooms is a page of the directory.
type PublicRooms struct {
	Chunk     []PublicRoom `json:"chunk"`
	NextBatch string       `json:"next_batch,omitempty"`
	PrevBatch string       `json:"prev_batch,omitempty"`
	Total     int64        `json:"total_room_count_estimate"`
}

// How many rooms there are in a page, and at most.
const (
	roomsPerPage     = 100
	mostRoomsPerPage = 500
)

// PublicRooms returns a page of the directory, to users and to other servers. The
// error is [mxerr.InvalidParam] if the query makes no sense.
// https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3publicrooms
func (g *Engine) PublicRooms(ctx context.Context, q PublicQuery) (PublicRooms, error) {
	if q.AllNetworks && q.Network != "" {
		return PublicRooms{}, mxerr.New(mxerr.InvalidParam, "third_party_instance_id names one network, include_all_networks all")
	}
	if q.Network == AllNetworks {
		return PublicRooms{}, mxerr.New(mxerr.InvalidParam, "third_party_instance_id is no network")
	}
	limit := int64(roomsPerPage)
	if q.Limit != nil && *q.Limit != 0 {
		limit = min(*q.Limit, mostRoomsPerPage)
	}
	if limit < 0 {
		return PublicRooms{}, mxerr.New(mxerr.InvalidParam, "limit is negative")
	}
	since, err := parseRoomPage(q.Since)
	if err != nil {
		return PublicRooms{}, err
	}
	list := PublicRooms{Chunk: []PublicRoom{}}
	page, err := g.Directory(ctx, q.search(), since.place, since.backwards, int(limit))
	if err != nil {
		return list, err
	}
	list.Total = int64(page.Total)
	if page.Later {
		list.NextBatch = roomPage{false, page.Last()}.String()
	}
	if page.Earlier {
		list.PrevBatch = roomPage{true, page.First()}.String()
	}
	for _, s := range page.Rooms {
		list.Chunk = append(list.Chunk, s.Public())
	}
	return list, nil
}

// ReadPublicRooms reads a page of the directory of another server.
func ReadPublicRooms(v canonjson.Value) PublicRooms {
	list := PublicRooms{Chunk: []PublicRoom{}}
	for element := range v.Get("chunk").Elements() {
		if s, ok := ReadSummary(element); ok {
			list.Chunk = append(list.Chunk, s.Public())
		}
	}
	list.NextBatch, _ = v.Get("next_batch").Text()
	list.PrevBatch, _ = v.Get("prev_batch").Text()
	if list.Total, _ = v.Get("total_room_count_estimate").Int(); list.Total < int64(len(list.Chunk)) {
		list.Total = int64(len(list.Chunk))
	}
	return list
}
