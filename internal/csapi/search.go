package csapi

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"parley/internal/endpoint"
	"parley/internal/filter"
	"parley/internal/search"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) searchRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("POST /_matrix/client/v3/search", endpoint.Policy{Auth: endpoint.User, Class: classSearch}, s.search),
	}
}

type searchRequest struct {
	NextBatch  string `query:"next_batch"`
	Categories *struct {
		RoomEvents *searchCriteria `json:"room_events"`
	} `json:"search_categories" required:"true"`
}

// searchCriteria is what is wanted of the one category that there is.
type searchCriteria struct {
	Term    *string         `json:"search_term"`
	Keys    []search.Key    `json:"keys"`
	Filter  canonjson.Value `json:"filter"`
	OrderBy string          `json:"order_by"`
	Context *struct {
		Before         *int64 `json:"before_limit"`
		After          *int64 `json:"after_limit"`
		IncludeProfile bool   `json:"include_profile"`
	} `json:"event_context"`
	IncludeState bool `json:"include_state"`
	Groupings    struct {
		GroupBy []searchGrouping `json:"group_by"`
	} `json:"groupings"`
}

type searchGrouping struct {
	Key string `json:"key"`
}

// The orders and groups of results.
const (
	orderRank   = "rank"
	orderRecent = "recent"

	groupRoom   = "room_id"
	groupSender = "sender"
)

// How many events there are around a result, and at most.
const (
	defaultAround = 5
	mostAround    = 20
)

// search serves https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3search
func (s *Server) search(ctx context.Context, c endpoint.Caller, req searchRequest) (searchResponse, error) {
	if s.Search == nil {
		return searchResponse{}, mxerr.New(mxerr.Unknown, "Messages cannot be searched on this server").WithStatus(400)
	}
	criteria := req.Categories.RoomEvents
	if criteria == nil {
		return searchResponse{}, nil
	}
	q, err := criteria.query()
	if err != nil {
		return searchResponse{}, err
	}
	if req.NextBatch != "" {
		if err := parseSearchToken(req.NextBatch, &q); err != nil {
			return searchResponse{}, err
		}
	}
	q.User = c.UserID
	page, err := s.Search.Find(ctx, q)
	if err != nil {
		return searchResponse{}, err
	}
	return s.searchResponse(ctx, c, criteria, q, page)
}

// query checks the criteria.
func (r *searchCriteria) query() (q search.Query, err error) {
	if r.Term == nil {
		return q, mxerr.New(mxerr.MissingParam, "search_term is missing")
	}
	for _, key := range r.Keys {
		if key != search.KeyBody && key != search.KeyName && key != search.KeyTopic {
			return q, mxerr.New(mxerr.InvalidParam, "%q is not a key that can be searched", key)
		}
	}
	switch r.OrderBy {
	case "", orderRank, orderRecent:
	default:
		return q, mxerr.New(mxerr.InvalidParam, "order_by has to be rank or recent")
	}
	for _, g := range r.Groupings.GroupBy {
		if g.Key != groupRoom && g.Key != groupSender {
			return q, mxerr.New(mxerr.InvalidParam, "%q is not a key to group by", g.Key)
		}
	}
	definition := r.Filter
	if definition == nil || string(definition) == "null" {
		definition = canonjson.Value("{}")
	}
	f, err := filter.ParseRoomEvents(definition)
	if err != nil {
		return q, err
	}
	q = search.Query{Term: *r.Term, Keys: r.Keys, Filter: f, Recent: r.OrderBy == orderRecent, Limit: f.Limit()}
	if len(r.Keys) == 0 {
		q.Keys = nil
	}
	if r.Context != nil {
		if _, _, err := r.around(); err != nil {
			return q, err
		}
	}
	return q, nil
}

// around returns how many events are wanted around each result.
func (r *searchCriteria) around() (before, after int, err error) {
	if before, err = messageLimit(r.Context.Before, defaultAround); err == nil {
		after, err = messageLimit(r.Context.After, defaultAround)
	}
	return min(before, mostAround), min(after, mostAround), err
}

func (r *searchCriteria) groupsBy(key string) bool {
	return slices.Contains(r.Groupings.GroupBy, searchGrouping{key})
}

// A token says behind which result to go on, and in which group.
const searchPrefix = "s1_"

func formatSearchToken(recent bool, p search.Place, group, value string) string {
	text := fmt.Sprintf("%t %d %d %d %d %d %d %s %s", recent, p.Rank, p.TS, p.Num, p.Behind.TS, p.Behind.Num, p.Count, group, value)
	return searchPrefix + base64.RawURLEncoding.EncodeToString([]byte(text))
}

// parseSearchToken has a query go on where a token says.
func parseSearchToken(token string, q *search.Query) error {
	refusal := mxerr.New(mxerr.InvalidParam, "next_batch is not a token that this server gave out for such a search")
	encoded, ok := strings.CutPrefix(token, searchPrefix)
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if !ok || err != nil {
		return refusal
	}
	parts := strings.SplitN(string(text), " ", 9)
	if len(parts) != 9 {
		return refusal
	}
	var recent bool
	p := &q.After
	_, err = fmt.Sscan(strings.Join(parts[:7], " "), &recent, &p.Rank, &p.TS, &p.Num, &p.Behind.TS, &p.Behind.Num, &p.Count)
	if err != nil || p.Num == 0 && p.Behind.Num == 0 || recent != q.Recent {
		return refusal
	}
	switch value := parts[8]; parts[7] {
	case "":
	case groupRoom:
		if q.Room, err = id.ParseRoomID(value); err != nil {
			return refusal
		}
	case groupSender:
		if q.Sender, err = id.ParseUserID(value); err != nil {
			return refusal
		}
	default:
		return refusal
	}
	return nil
}
