package ssapi

import (
	"context"

	"parley/internal/endpoint"
	"parley/matrix/canonjson"
	"parley/matrix/id"
	"parley/matrix/mxerr"
)

func (s *Server) transactionRoutes() []endpoint.Route {
	return []endpoint.Route{
		endpoint.On("PUT /_matrix/federation/v1/send/{txnID}",
			endpoint.Policy{Auth: endpoint.Server, Class: classSent, BodyLimit: transactionLimit}, s.sendTransaction),
	}
}

// Bounds of a transaction: fifty events and a hundred EDUs of the largest size.
// https://spec.matrix.org/v1.19/server-server-api/#transactions
const (
	mostPDUs         = 50
	mostEDUs         = 100
	transactionLimit = (mostPDUs + mostEDUs) << 16
)

type transactionRequest struct {
	TxnID  string            `path:"txnID"`
	Origin id.ServerName     `json:"origin"`
	PDUs   []canonjson.Value `json:"pdus"`
	EDUs   []canonjson.Value `json:"edus"`
}

type transactionResponse struct {
	PDUs map[id.EventID]pduResult `json:"pdus"`
}

type pduResult struct {
	Error string `json:"error,omitempty"`
}

// sendTransaction serves https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv1sendtxnid
func (s *Server) sendTransaction(ctx context.Context, c endpoint.Caller, req transactionRequest) (transactionResponse, error) {
	switch {
	case req.Origin != "" && req.Origin != c.Server:
		return transactionResponse{}, mxerr.New(mxerr.Forbidden, "The transaction is of another server")
	case len(req.PDUs) > mostPDUs || len(req.EDUs) > mostEDUs:
		return transactionResponse{}, mxerr.New(mxerr.TooLarge, "A transaction has at most %d events and %d EDUs", mostPDUs, mostEDUs).WithStatus(400)
	}
	// A transaction that is sent again does no harm: events come once, whatever
	// brings them, so do messages to devices, and of another EDU the last word counts.
	verdicts, err := s.Inbox.Take(ctx, c.Server, req.PDUs)
	if err != nil {
		return transactionResponse{}, err
	}
	resp := transactionResponse{PDUs: make(map[id.EventID]pduResult, len(verdicts))}
	for _, v := range verdicts {
		var result pduResult
		if v.Err != nil {
			result.Error = v.Err.Error()
		}
		resp.PDUs[v.ID] = result
	}
	return resp, s.edus(ctx, c.Server, req.EDUs)
}
