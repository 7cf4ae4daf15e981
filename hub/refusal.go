package hub

import (
	"fmt"
	"net/http"
	"time"
)

// refusal returns the error of a response that refuses a file.
func refusal(resp *http.Response, r Ref, token bool) error {
	status, code := resp.StatusCode, resp.Header.Get(errorCode)
	login := "set HF_TOKEN to a token of yours"
	if token {
		login = "your token does not allow it"
	}
	switch {
	case code == "GatedRepo":
		return fmt.Errorf("%s is gated: accept its conditions on its page; %s", r.repo(), login)
	case code == "RevisionNotFound":
		return fmt.Errorf("%w: %s has no revision %s", ErrNotFound, r.repo(), r.Revision)
	case code == "EntryNotFound" || code == "" && status == http.StatusNotFound:
		return fmt.Errorf("%w: %s at %s has no file %s", ErrNotFound, r.repo(), r.Revision, r.File)
	case code == "RepoNotFound" || status == http.StatusUnauthorized:
		return fmt.Errorf("%w: there is no repository %s, or it is private: %s", ErrNotFound, r.repo(), login)
	case status == http.StatusForbidden:
		return fmt.Errorf("you have no access to %s: %s%s", r.repo(), login, said(resp))
	}
	return otherStatus(resp)
}

// otherStatus returns the error of a status that says nothing about the file.
func otherStatus(resp *http.Response) error {
	err := fmt.Errorf("%s answers %s%s", resp.Request.URL.Host, resp.Status, said(resp))
	if s := resp.StatusCode; s == http.StatusTooManyRequests || s == http.StatusRequestTimeout || s >= http.StatusInternalServerError {
		return busyError{err, retryAfter(resp.Header, time.Now())}
	}
	return err
}

// said returns the hub's own message, if there is one.
func said(resp *http.Response) string {
	const most = 200
	text := resp.Header.Get(errorText)
	if text == "" {
		return ""
	}
	return fmt.Sprintf(" (%.*q)", most, text)
}

// unreachableError is the error of a request without a response.
type unreachableError struct{ error }

func (e unreachableError) Unwrap() error { return e.error }

// busyError is a refusal that may end if the request is repeated later.
type busyError struct {
	error
	after time.Duration // how long the server asks to wait; 0: it does not say
}

func (e busyError) Unwrap() error { return e.error }

// cutError is the error of a connection that ended before the file did.
type cutError struct{ error }

func (e cutError) Unwrap() error { return e.error }
