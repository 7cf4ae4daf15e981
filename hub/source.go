package hub

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// source is a file on the hub.
type source struct {
	url    string
	commit string
	sum    string // what checksum takes
	size   int64
}

// Headers in which the hub says what a file is.
const (
	repoCommit = "X-Repo-Commit"
	linkedETag = "X-Linked-Etag" // the SHA-256 of a file in large-file storage
	linkedSize = "X-Linked-Size"
	errorCode  = "X-Error-Code"
	errorText  = "X-Error-Message"
)

// lookUp asks the hub about files, all at one commit. It tries several times while the hub is busy.
func (f *fetcher) lookUp(ctx context.Context, r Ref, files []string, tries int) ([]source, error) {
	var sources []source
	for _, file := range files {
		at := r
		if at.File = file; len(sources) > 0 {
			at.Revision = sources[0].commit // the branch may move between two requests
		}
		var s source
		err := f.retry(ctx, tries, func() (bool, error) {
			var err error
			s, err = f.lookUpOne(ctx, at)
			return false, err
		})
		if err != nil {
			return nil, fmt.Errorf("hub: %w", err)
		}
		sources = append(sources, s)
	}
	return sources, nil
}

func (f *fetcher) lookUpOne(ctx context.Context, r Ref) (source, error) {
	var s source
	req, err := f.request(ctx, http.MethodHead, f.address(r))
	if err != nil {
		return s, err
	}
	resp, err := f.head.Do(req)
	if err != nil {
		return s, unreachableError{err}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= http.StatusBadRequest {
		return s, refusal(resp, r, f.Token != "")
	}
	s.commit = resp.Header.Get(repoCommit)
	s.sum = strings.Trim(strings.TrimPrefix(first(resp.Header, linkedETag, "Etag"), "W/"), `"`)
	s.size = resp.ContentLength
	if text := resp.Header.Get(linkedSize); text != "" {
		if s.size, err = strconv.ParseInt(text, 10, 64); err != nil {
			s.size = -1
		}
	}
	if !commitID.MatchString(s.commit) || !sumForm.MatchString(s.sum) || s.size < 0 {
		return s, fmt.Errorf("%s answers without commit, checksum or size (%s %q, ETag %q, %d bytes): is it a hub, and no proxy's page?",
			f.Endpoint, repoCommit, s.commit, s.sum, s.size)
	}
	r.Revision = s.commit // that the sum is of, wherever the branch goes
	s.url = f.address(r)
	return s, nil
}

// address returns the address of a file.
func (f *fetcher) address(r Ref) string {
	parts := strings.Split(r.File, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return fmt.Sprintf("%s/%s/resolve/%s/%s", f.Endpoint, r.repo(), url.PathEscape(r.Revision), strings.Join(parts, "/"))
}

func first(h http.Header, names ...string) string {
	for _, name := range names {
		if v := h.Get(name); v != "" {
			return v
		}
	}
	return ""
}
