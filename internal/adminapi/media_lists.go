package adminapi

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"parley/internal/endpoint"
	"parley/internal/media"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

type userMediaRequest struct {
	page
	UserID  id.UserID `path:"userID"`
	OrderBy string    `query:"order_by"`
}

type userMediaResponse struct {
	Media []mediaInfo `json:"media"`
	Next  *int64      `json:"next_token,omitempty"`
	Total int64       `json:"total"`
}

// listed is the page that a request is for: the newest first, unless it says
// otherwise.
func (s *Server) listed(ctx context.Context, req userMediaRequest) (list []media.Media, skip, total int64, err error) {
	if err := s.local(req.UserID); err != nil {
		return nil, 0, 0, err
	}
	if ok, err := s.Accounts.Exists(ctx, req.UserID); err != nil {
		return nil, 0, 0, err
	} else if !ok {
		return nil, 0, 0, mxerr.New(mxerr.NotFound, "There is no %s", req.UserID)
	}
	byDefault := "f"
	if req.OrderBy == "" {
		byDefault = "b"
	}
	order := media.Order(cmp.Or(req.OrderBy, string(media.ByCreation)))
	if !order.Known() {
		return nil, 0, 0, mxerr.New(mxerr.InvalidParam, "Media are not ordered by %q", req.OrderBy)
	}
	skip, limit, backwards, err := req.bounds(byDefault)
	if err != nil {
		return nil, 0, 0, err
	}
	list, total, err = s.Media.OfUser(ctx, req.UserID, order, backwards, skip, limit)
	return list, skip, total, err
}

func (s *Server) userMedia(ctx context.Context, _ endpoint.Caller, req userMediaRequest) (userMediaResponse, error) {
	list, skip, total, err := s.listed(ctx, req)
	resp := userMediaResponse{Media: []mediaInfo{}, Total: total, Next: next(skip, len(list), total)}
	for _, m := range list {
		resp.Media = append(resp.Media, mediaOf(m))
	}
	return resp, err
}

// deleteUserMedia removes a page of what a user has uploaded.
func (s *Server) deleteUserMedia(ctx context.Context, _ endpoint.Caller, req userMediaRequest) (deletedMediaResponse, error) {
	list, _, _, err := s.listed(ctx, req)
	if err != nil {
		return deletedMediaResponse{}, err
	}
	var uris []id.ContentURI
	for _, m := range list {
		uris = append(uris, m.URI)
	}
	gone, err := s.Media.Delete(ctx, uris)
	return deletedMedia(gone), err
}

type mediaUsageResponse struct {
	Uploads     int64 `json:"uploads"`
	UploadBytes int64 `json:"upload_bytes"`
	Copies      int64 `json:"copies"`
	CopyBytes   int64 `json:"copy_bytes"`
}

// mediaUsage says how much there is, by name: a content that has several counts as
// often.
func (s *Server) mediaUsage(ctx context.Context, _ endpoint.Caller, _ endpoint.Empty) (mediaUsageResponse, error) {
	u, err := s.Media.Usage(ctx)
	return mediaUsageResponse(u), err
}

type mediaStatisticsRequest struct {
	page
	OrderBy string `query:"order_by"`
	Search  string `query:"search_term"`
}

type mediaTotal struct {
	User        id.UserID `json:"user_id"`
	Displayname *string   `json:"displayname"`
	Count       int64     `json:"media_count"`
	Bytes       int64     `json:"media_length"`
}

type mediaStatisticsResponse struct {
	Users []mediaTotal `json:"users"`
	Next  *int64       `json:"next_token,omitempty"`
	Total int64        `json:"total"`
}

// mediaStatistics says who has uploaded how much.
func (s *Server) mediaStatistics(ctx context.Context, _ endpoint.Caller, req mediaStatisticsRequest) (resp mediaStatisticsResponse, err error) {
	skip, limit, backwards, err := req.bounds("f")
	if err != nil {
		return resp, err
	}
	compare := map[string]func(a, b media.Total) int{
		"":             func(a, b media.Total) int { return 0 },
		"user_id":      func(a, b media.Total) int { return 0 },
		"media_length": func(a, b media.Total) int { return cmp.Compare(a.Bytes, b.Bytes) },
		"media_count":  func(a, b media.Total) int { return cmp.Compare(a.Count, b.Count) },
	}[req.OrderBy]
	if compare == nil {
		return resp, mxerr.New(mxerr.InvalidParam, "Users are not ordered by %q", req.OrderBy)
	}
	totals, err := s.Media.Totals(ctx)
	if err != nil {
		return resp, err
	}
	totals = slices.DeleteFunc(totals, func(t media.Total) bool { return !strings.Contains(string(t.User), req.Search) })
	slices.SortFunc(totals, func(a, b media.Total) int { return cmp.Or(compare(a, b), cmp.Compare(a.User, b.User)) })
	if backwards {
		slices.Reverse(totals)
	}
	resp.Users, resp.Total = []mediaTotal{}, int64(len(totals))
	shown := totals[min(skip, resp.Total):min(skip+limit, resp.Total)]
	for _, t := range shown {
		row := mediaTotal{User: t.User, Count: t.Count, Bytes: t.Bytes}
		fields, err := s.Profiles.Get(ctx, t.User)
		if err != nil {
			return resp, err
		}
		if name, ok := fields.Get("displayname").Text(); ok {
			row.Displayname = &name
		}
		resp.Users = append(resp.Users, row)
	}
	resp.Next = next(skip, len(shown), resp.Total)
	return resp, nil
}

type quarantinedContent struct {
	Hash  string    `json:"sha256"`
	By    id.UserID `json:"quarantined_by"`
	Since int64     `json:"quarantined_ts"`
	URIs  int64     `json:"media_count"`
}

type inQuarantineResponse struct {
	Contents []quarantinedContent `json:"contents"`
	Next     *int64               `json:"next_token,omitempty"`
	Total    int64                `json:"total"`
}

type inQuarantineRequest struct {
	From  *int64 `query:"from"`
	Limit *int64 `query:"limit"`
}

// inQuarantine lists the contents that nobody gets, the last first.
func (s *Server) inQuarantine(ctx context.Context, _ endpoint.Caller, req inQuarantineRequest) (resp inQuarantineResponse, err error) {
	skip, limit, _, err := page{From: req.From, Limit: req.Limit}.bounds("f")
	if err != nil {
		return resp, err
	}
	list, total, err := s.Media.InQuarantine(ctx, skip, limit)
	resp = inQuarantineResponse{Contents: []quarantinedContent{}, Total: total, Next: next(skip, len(list), total)}
	for _, q := range list {
		resp.Contents = append(resp.Contents, quarantinedContent{q.Hash.String(), q.By, q.Since.UnixMilli(), q.URIs})
	}
	return resp, err
}
