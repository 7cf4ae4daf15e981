package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed4d217819/ebb/gguf"
)

// Options say which hub to ask, with which token, and where to keep files. [FromEnvironment]
// returns the user's.
type Options struct {
	Endpoint  string // the hub's address; "": DefaultEndpoint
	Token     string // the user's; "": none
	Cache     string // the cache folder, which must be named
	Offline   bool   // take what is in the cache and ask nobody
	UserAgent string // who asks; "": ebb

	Progress func(Progress)    // called as bytes come, from the goroutine that called Fetch; nil: no one listens
	Note     func(note string) // called when something takes longer than expected, likewise; nil: no one listens

	pause time.Duration // before a second try, doubled before each further one; 0: a second
	stall time.Duration // without a byte, after which a connection is given up; 0: a minute
}

// Progress is how far a download is.
type Progress struct {
	File        string // in the repository
	Part, Parts int    // which of the files of a split model it is, from 1
	Done, Total int64  // bytes
	Resumed     int64  // bytes of Done that were there before
}

// Errors of files that cannot be fetched.
var (
	// ErrName says that a name is not that of a file or a repository on the hub.
	ErrName = errors.New("no name on the hub")
	// ErrNotFound says that the hub has no such repository, revision or file, or does not show it
	// to this user.
	ErrNotFound = errors.New("not found")
	// ErrOffline says that a file is not in the cache, and that the options forbid asking the hub.
	ErrOffline = errors.New("offline")
)

// Fetch returns the path of a file, which is downloaded unless it is in the cache. All parts of a
// split model are fetched, and the path is that of the part that was named. A download that is
// interrupted, for instance by the context, is kept for the next call to continue. Several calls
// may run at once, in several processes too: one downloads a file while the others wait.
func Fetch(ctx context.Context, r Ref, o Options) (string, error) {
	if fault := r.fault(); fault != "" {
		return "", fmt.Errorf("hub: %s", fault)
	}
	files := gguf.PartNames(r.File)
	if files == nil {
		files = []string{r.File}
	}
	c := newCache(o.Cache, r)
	which := slices.Index(files, r.File)
	paths, cached := c.find(r.Revision, files)
	switch {
	case cached && (o.Offline || commitID.MatchString(r.Revision)): // a commit never changes
		return paths[which], nil
	case o.Offline:
		return "", fmt.Errorf("hub: %w: %v is not in the cache at %s, and HF_HUB_OFFLINE forbids to ask for it", ErrOffline, r, o.Cache)
	}
	f, err := newFetcher(o)
	if err != nil {
		return "", err
	}
	tries := maxTries
	if cached {
		tries = 1
	}
	sources, err := f.lookUp(ctx, r, files, tries)
	if err != nil {
		if !cached || ctx.Err() != nil || errors.Is(err, ErrNotFound) {
			return "", err
		}
		f.note("%v; taking the file from the cache", err)
		return paths[which], nil
	}
	paths = paths[:0]
	for i, s := range sources {
		path, err := f.fetch(ctx, c, s, Progress{File: files[i], Part: i + 1, Parts: len(files), Total: s.size})
		if err != nil {
			return "", fmt.Errorf("hub: %s: %w", files[i], err)
		}
		paths = append(paths, path)
	}
	if err := c.remember(r.Revision, sources[0].commit); err != nil {
		return "", fmt.Errorf("hub: %w", err)
	}
	return paths[which], nil
}

// fetch downloads a file, unless it is in the cache, and returns its path there.
func (f *fetcher) fetch(ctx context.Context, c cache, s source, p Progress) (string, error) {
	if path := c.snapshot(s.commit, p.File); complete(path, s.size) {
		return path, nil
	}
	if err := f.download(ctx, c, s, p); err != nil {
		return "", err
	}
	return c.link(s.commit, p.File, s.sum)
}
