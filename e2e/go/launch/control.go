package launch

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
)

// Control lets a program in another language stop and start servers:
//
//	POST /0/down  ends the first one as an operator would
//	POST /1/kill  ends the second one as a crash would
//	POST /1/up    starts it again, with its data and at its addresses
//
// A request is answered when that is done, with 204, or with 500 and the reason
// in words.
func Control(servers []*Server) *httptest.Server {
	var mu sync.Mutex
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{server}/{act}", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		which, err := strconv.Atoi(r.PathValue("server"))
		if err != nil || which < 0 || which >= len(servers) {
			http.Error(w, "no such server", http.StatusNotFound)
			return
		}
		switch act := r.PathValue("act"); act {
		case "down":
			err = servers[which].Down()
		case "kill":
			servers[which].Kill()
		case "up":
			err = servers[which].Up(r.Context())
		default:
			err = fmt.Errorf("no act is called %s", act)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return httptest.NewServer(mux)
}
