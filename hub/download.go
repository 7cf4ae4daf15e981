package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// download downloads a file into the cache's blobs, unless it is there already.
func (f *fetcher) download(ctx context.Context, c cache, s source, p Progress) (err error) {
	if complete(c.blob(s.sum), s.size) {
		return nil
	}
	unlock, err := lock(ctx, c.lock(s.sum), func() { f.note("%s: another process downloads it; waiting", p.File) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if complete(c.blob(s.sum), s.size) {
		return nil
	}
	path := c.incomplete(s.sum)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	err = f.fill(ctx, file, s, p)
	if errors.Is(err, ErrChecksum) {
		err = fmt.Errorf("%w: the download is removed; run the command again", errors.Join(err, os.Remove(path)))
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(path, c.blob(s.sum))
}

// complete reports whether a file of that size is there. Its checksum was checked before it got its
// name.
func complete(path string, size int64) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() == size
}

// fill downloads what is missing of a source at the end of file, and checks all of it.
func (f *fetcher) fill(ctx context.Context, file *os.File, s source, p Progress) error {
	sum := newChecksum(s.sum, s.size)
	w := &writer{stop: ctx.Err, to: sum, tell: f.progress, p: p}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > s.size {
		if err := file.Truncate(0); err != nil {
			return err
		}
	}
	if _, err := io.Copy(w, io.LimitReader(file, s.size)); err != nil {
		return err
	}
	w.to, w.p.Resumed = io.MultiWriter(file, sum), w.p.Done
	w.tell(w.p)
	err = f.retry(ctx, maxTries, func() (bool, error) {
		before := w.p.Done
		err := f.append(ctx, w, s)
		return w.p.Done > before, err
	})
	if err != nil {
		return err
	}
	if err := sum.verify(); err != nil {
		return err
	}
	return file.Sync() // what has its name must be there after a power cut too
}

// writer reports the progress of what is written to it. It fails once stop returns an error.
type writer struct {
	stop func() error
	to   io.Writer
	tell func(Progress)
	p    Progress
}

func (w *writer) Write(b []byte) (int, error) {
	if err := w.stop(); err != nil {
		return 0, err
	}
	n, err := w.to.Write(b)
	w.p.Done += int64(n)
	w.tell(w.p)
	return n, err
}

// append downloads the missing end of a source.
func (f *fetcher) append(ctx context.Context, w *writer, s source) error {
	return f.stream(ctx, w, s, w.p.Done, s.size)
}

// stream downloads the bytes of a source from one position to another.
func (f *fetcher) stream(ctx context.Context, w io.Writer, s source, from, to int64) error {
	if from >= to {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := f.request(ctx, http.MethodGet, s.url)
	if err != nil {
		return err
	}
	switch {
	case to < s.size:
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	case from > 0:
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	resp, err := f.get.Do(req)
	if err != nil {
		return cutError{err}
	}
	defer func() { _ = resp.Body.Close() }()
	skip, err := whereIn(resp, from, to, s.size)
	if err != nil {
		return err
	}
	errStalled := fmt.Errorf("no byte came in %v", f.stall)
	watch := time.AfterFunc(f.stall, func() { cancel(errStalled) })
	defer watch.Stop()
	body := &watched{resp.Body, watch, f.stall}
	if _, err := io.CopyN(io.Discard, body, skip); err != nil {
		return cut(ctx, err, from, s.size)
	}
	buffer := make([]byte, 1<<20)
	n, err := io.CopyBuffer(w, io.LimitReader(body, to-from), buffer)
	if err == nil && n < to-from {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return cut(ctx, err, from+n, s.size)
	}
	return nil
}

// whereIn returns how many bytes of a response come before byte from of the file, or an error if
// the response is not that file's bytes up to byte to.
func whereIn(resp *http.Response, from, to, size int64) (skip int64, err error) {
	switch resp.StatusCode {
	case http.StatusOK: // a server that knows no ranges begins anew
		if resp.ContentLength >= 0 && resp.ContentLength != size {
			return 0, fmt.Errorf("the server sends %d bytes, and the hub's file has %d", resp.ContentLength, size)
		}
		return from, nil
	case http.StatusPartialContent:
		want := fmt.Sprintf("bytes %d-%d/%d", from, to-1, size)
		if got := resp.Header.Get("Content-Range"); got != want {
			return 0, fmt.Errorf("the server sends %q of the file, want %q", got, want)
		}
		return 0, nil
	default:
		return 0, otherStatus(resp)
	}
}

// cut adds the position in the file to an error of the connection. It leaves errors of the disk as
// they are.
func cut(ctx context.Context, err error, done, size int64) error {
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
		err = cause
	}
	if _, disk := errors.AsType[*os.PathError](err); disk {
		return err
	}
	return cutError{fmt.Errorf("the connection ended at byte %d of %d: %w", done, size, err)}
}

// watched resets a watchdog with every read that returns bytes.
type watched struct {
	from  io.Reader
	dog   *time.Timer
	every time.Duration
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.from.Read(b)
	if n > 0 {
		w.dog.Reset(w.every)
	}
	return n, err
}
