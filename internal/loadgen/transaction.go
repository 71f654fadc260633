package loadgen

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"

	"parley/matrix/canonjson"
	"parley/matrix/event"
	"parley/matrix/id"
	"parley/matrix/signing"
	"parley/matrix/xmatrix"
)

// mostPDUs is how many events a transaction may have.
// https://spec.matrix.org/v1.19/server-server-api/#transactions
const mostPDUs = 50

// transaction is a request with events, from one server to the measured one.
type transaction struct {
	request []byte
	events  int
}

// transactions are all that a server sends, in order, and signed beforehand: the
// clock is not to run while the generator signs.
func transactions(t Target, from id.ServerName, key signing.Key, run string, events []*event.Event) (list []transaction) {
	for len(events) > 0 {
		n := min(len(events), mostPDUs)
		uri := t.prefix + path("/_matrix/federation/v1/send/%s", fmt.Sprintf("%s-%d", run, len(list)))
		body := envelope(from, events[:n])
		signed := xmatrix.Request{Method: "PUT", URI: uri, Origin: from, Destination: benchServer, Content: body}
		head := "PUT " + uri + " HTTP/1.1\r\nHost: " + string(benchServer) + "\r\nAuthorization: " + signed.Sign(key) +
			"\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
		list = append(list, transaction{append([]byte(head), body...), n})
		events = events[n:]
	}
	return list
}

// envelope is the body of a transaction, canonical.
func envelope(from id.ServerName, events []*event.Event) canonjson.Value {
	var b bytes.Buffer
	b.WriteString(`{"origin":`)
	b.Write(canonjson.Text(string(from)))
	fmt.Fprintf(&b, `,"origin_server_ts":%d,"pdus":[`, time.Now().UnixMilli())
	for i, e := range events {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(e.JSON())
	}
	b.WriteString("]}")
	return b.Bytes()
}

// send sends transactions one after the other, as a server has to, and counts what
// the measured one refuses.
func send(ctx context.Context, t Target, list []transaction, latency *Histogram, f *faults) error {
	c := newClient(t)
	defer c.hangUp()
	for _, txn := range list {
		began := time.Now()
		r, err := c.do(ctx, txn.request, setupPatience)
		if err != nil {
			return err
		}
		if r.status != 200 {
			return newRefusal(r)
		}
		latency.Record(time.Since(began))
		if n := bytes.Count(r.body, []byte(`"error":`)); n > 0 {
			f.count(int64(n), 0, fmt.Errorf("%.300s", r.body))
		}
	}
	return nil
}
