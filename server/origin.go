package server

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/server/wire"
)

// origins says which web pages of others may use the server.
type origins struct {
	allowed []string // as in https://example.org; "*": all
	keyless bool     // nothing but the address keeps others out
	private bool     // and that is one of this machine alone
	cross   *http.CrossOriginProtection
}

func newOrigins(allowed []string, keyless, private bool) (*origins, error) {
	o := &origins{allowed: allowed, keyless: keyless, private: private, cross: http.NewCrossOriginProtection()}
	for _, a := range allowed {
		if a == "*" {
			continue
		}
		if err := o.cross.AddTrustedOrigin(a); err != nil {
			return nil, fmt.Errorf("%q is no origin of pages: want a scheme and a host, as in https://example.org", a)
		}
	}
	return o, nil
}

// exposed are the header fields of an answer that pages of others may read beside those that they always may:
// what libraries read, and the server's own.
const exposed = "X-Request-Id, Request-Id, Retry-After, X-Should-Retry, " + wire.CacheHeader + ", " + wire.SkippedHeader

// admit writes what lets a page read the answer, and reports whether the request goes on. A preflight is
// answered.
func (o *origins) admit(w http.ResponseWriter, r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" && len(o.allowed) > 0 {
		w.Header().Add("Vary", "Origin")
		if o.allows(origin) {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Set("Access-Control-Expose-Headers", exposed)
			if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				preflight(w, r)
				return false
			}
		}
	}
	if !o.keyless {
		return true // a page does not know the key
	}
	if o.private && !isLocal(r.Host) {
		fail(w, r, http.StatusForbidden, "the name "+r.Host+" is not this server's: without --api-key it is called by its address or as localhost, so that pages of others cannot reach it by names of theirs")
		return false
	}
	if err := o.cross.Check(r); err != nil && !slices.Contains(o.allowed, "*") {
		fail(w, r, http.StatusForbidden, "pages from "+r.Header.Get("Origin")+" may not use this server: ebb serve --cors "+r.Header.Get("Origin")+" allows it")
		return false
	}
	return true
}

func (o *origins) allows(origin string) bool {
	return slices.Contains(o.allowed, "*") || slices.Contains(o.allowed, origin)
}

// preflight answers what a browser asks before it sends a request of a page.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Add("Vary", "Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS")
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked)
	}
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

// isLocal reports whether a host is an address or a name of this machine for itself. A page whose own
// name leads to this machine sends that name.
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost")
}
