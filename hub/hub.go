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
	l, err := locate(ctx, r, o)
	if err != nil {
		return "", err
	}
	if l.cached != nil {
		return l.cached[l.which], nil
	}
	var paths []string
	for i, s := range l.sources {
		path, err := l.f.fetch(ctx, l.c, s, Progress{File: l.files[i], Part: i + 1, Parts: len(l.files), Total: s.size})
		if err != nil {
			return "", fmt.Errorf("hub: %s: %w", l.files[i], err)
		}
		paths = append(paths, path)
	}
	if err := l.c.remember(r.Revision, l.sources[0].commit); err != nil {
		return "", fmt.Errorf("hub: %w", err)
	}
	return paths[l.which], nil
}

// located says where the files of a model are: in the cache, or on the hub.
type located struct {
	files   []string // all parts of the model, in order
	which   int      // the one that was named
	cached  []string // their paths, if those in the cache are to be taken
	sources []source // else what the hub says of them
	c       cache
	f       *fetcher
}

// locate looks for the files of a model in the cache, and asks the hub unless what is there cannot
// have changed.
func locate(ctx context.Context, r Ref, o Options) (located, error) {
	if fault := r.fault(); fault != "" {
		return located{}, fmt.Errorf("hub: %s", fault)
	}
	l := located{files: gguf.PartNames(r.File), c: newCache(o.Cache, r)}
	if l.files == nil {
		l.files = []string{r.File}
	}
	l.which = slices.Index(l.files, r.File)
	paths, cached := l.c.find(r.Revision, l.files)
	switch {
	case cached && (o.Offline || commitID.MatchString(r.Revision)): // a commit never changes
		l.cached = paths
		return l, nil
	case o.Offline:
		return l, fmt.Errorf("hub: %w: %v is not in the cache at %s, and HF_HUB_OFFLINE forbids to ask for it", ErrOffline, r, o.Cache)
	}
	var err error
	if l.f, err = newFetcher(o); err != nil {
		return l, err
	}
	tries := maxTries
	if cached {
		tries = 1
	}
	if l.sources, err = l.f.lookUp(ctx, r, l.files, tries); err != nil {
		if !cached || ctx.Err() != nil || errors.Is(err, ErrNotFound) {
			return l, err
		}
		l.f.note("%v; taking the file from the cache", err)
		l.cached = paths
	}
	return l, nil
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
