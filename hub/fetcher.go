package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// fetcher sends the requests of one call of Fetch or Resolve.
type fetcher struct {
	Options
	head *http.Client // stops where a file's checksum is said
	get  *http.Client
}

// newFetcher checks the options and fills in what they leave open.
func newFetcher(o Options) (*fetcher, error) {
	if o.Cache == "" {
		return nil, errors.New("hub: no cache folder")
	}
	if o.Endpoint == "" {
		o.Endpoint = DefaultEndpoint
	}
	o.Endpoint = strings.TrimRight(o.Endpoint, "/")
	if u, err := url.Parse(o.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("hub: the endpoint is %q: want an address as in %s (HF_ENDPOINT)", o.Endpoint, DefaultEndpoint)
	}
	if o.UserAgent == "" {
		o.UserAgent = "ebb"
	}
	if o.pause == 0 {
		o.pause = time.Second
	}
	if o.stall == 0 {
		o.stall = time.Minute
	}
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("hub: the program has replaced Go's HTTP transport")
	}
	transport = transport.Clone()
	transport.ResponseHeaderTimeout = o.stall
	f := &fetcher{Options: o}
	f.head = &http.Client{Transport: transport, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if req.Response.Header.Get(linkedETag) != "" || req.URL.Host != via[0].URL.Host {
			return http.ErrUseLastResponse // of a file's storage, which knows nothing of the hub's checksum
		}
		return checkRedirect(req, via)
	}}
	f.get = &http.Client{Transport: transport, CheckRedirect: checkRedirect}
	return f, nil
}

// maxRedirects is far above the two redirects of the hub.
const maxRedirects = 10

// checkRedirect keeps the token from other hosts than the hub; the storage's addresses are signed.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("redirect from https to %s", req.URL.Scheme)
	}
	if req.URL.Host != via[0].URL.Host {
		req.Header.Del("Authorization")
	}
	return nil
}

func (f *fetcher) request(ctx context.Context, method, address string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", f.UserAgent)
	req.Header.Set("Accept-Encoding", "identity") // sizes and ranges are those of the file
	if f.Token != "" {
		req.Header.Set("Authorization", "Bearer "+f.Token)
	}
	return req, nil
}

func (f *fetcher) note(format string, args ...any) {
	if f.Note != nil {
		f.Note(fmt.Sprintf(format, args...))
	}
}

func (f *fetcher) progress(p Progress) {
	if f.Progress != nil {
		f.Progress(p)
	}
}
