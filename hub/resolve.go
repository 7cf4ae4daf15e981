package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/seed4d217819/ebb/gguf"
)

// defaultQuant is the quantisation that is taken when none is named, as by other programs.
const defaultQuant = "Q4_K_M"

// Resolve reads the name of a model on the hub and returns which file it is. A name that [Parse]
// takes, and the address of a file's page, such as
// https://huggingface.co/OWNER/REPO/blob/main/FILE.gguf, say so themselves. For hf://OWNER/REPO and
// hf://OWNER/REPO:QUANT the hub is asked which files there are: the one whose name has the
// quantisation is taken, without one Q4_K_M or else the first, which Options.Note hears. The error
// of a name that fits no file, or several, lists those there are.
func Resolve(ctx context.Context, name string, o Options) (Ref, error) {
	name, err := fromAddress(name)
	if err != nil {
		return Ref{}, err
	}
	w, ok := parseWish(name)
	if !ok {
		return Parse(name)
	}
	w.File = "any.gguf" // so that the rest is checked
	if fault := w.fault(); fault != "" {
		return Ref{}, nameErrorf("hub: %q: %s: %s", name, fault, wantRef)
	}
	files, err := listFiles(ctx, w.Ref, o)
	if err != nil {
		return Ref{}, err
	}
	file, err := w.choose(files)
	if err != nil {
		return Ref{}, err
	}
	if w.File = file; w.quant == "" && len(files) > 1 && o.Note != nil {
		o.Note(fmt.Sprintf("%s has %d models, and %s is taken (%s%s:QUANT names another one)", w.repo(), len(files), file, Scheme, w.repo()))
	}
	return w.Ref, nil
}

// choose returns the file that is wished for among the models of a repository.
func (w wish) choose(files []string) (string, error) {
	if len(files) == 0 {
		return "", fmt.Errorf("hub: %w: %s at %s has no GGUF file with a model", ErrNotFound, w.repo(), w.Revision)
	}
	quant := w.quant
	if quant == "" {
		quant = defaultQuant
	}
	fits := slices.DeleteFunc(slices.Clone(files), func(file string) bool { return !hasQuant(file, quant) })
	switch {
	case len(fits) == 1:
		return fits[0], nil
	case len(fits) > 1:
		return "", fmt.Errorf("hub: %s has %d files of %s: name one of them, as %s%s/FILE: %s", w.repo(), len(fits), quant, Scheme, w.repo(), list(fits))
	case w.quant == "":
		return files[0], nil
	}
	return "", fmt.Errorf("hub: %w: %s at %s has no file of %s; it has %s", ErrNotFound, w.repo(), w.Revision, quant, list(files))
}

// hasQuant reports whether the name of a file, or of its folder, has a quantisation as a word: Q4_K
// is none in Q4_K_M.
func hasQuant(file, quant string) bool {
	word := regexp.MustCompile(`(?i)(^|[-._/ ])` + regexp.QuoteMeta(quant) + `($|[-./ ])`)
	return word.MatchString(file)
}

// list writes file names for a message.
func list(files []string) string {
	const most = 20
	if len(files) > most {
		return fmt.Sprintf("%s, and %d more", strings.Join(files[:most], ", "), len(files)-most)
	}
	return strings.Join(files, ", ")
}

// listFiles returns the models of a repository in order, each by its first file: from the hub, or
// where it cannot be asked from the cache.
func listFiles(ctx context.Context, r Ref, o Options) ([]string, error) {
	cached := newCache(o.Cache, r).list(r.Revision)
	if o.Offline {
		if len(cached) == 0 {
			return nil, fmt.Errorf("hub: %w: no model of %s is in the cache at %s, and HF_HUB_OFFLINE forbids asking for one", ErrOffline, r.repo(), o.Cache)
		}
		return models(cached), nil
	}
	f, err := newFetcher(o)
	if err != nil {
		return nil, err
	}
	tries := maxTries
	if len(cached) > 0 {
		tries = 1
	}
	var files []string
	err = f.retry(ctx, tries, func() (bool, error) {
		files, err = f.list(ctx, r)
		return false, err
	})
	switch {
	case err == nil:
		return models(files), nil
	case len(cached) == 0 || ctx.Err() != nil || errors.Is(err, ErrNotFound):
		return nil, fmt.Errorf("hub: %w", err)
	}
	f.note("%v; taking a file from the cache", err)
	return models(cached), nil
}

// models returns those files that are models: GGUF files, of a split model the first, and no
// projectors for images.
func models(files []string) (names []string) {
	for _, file := range files {
		parts := gguf.PartNames(file)
		switch base := strings.ToLower(path.Base(file)); {
		case !strings.HasSuffix(base, ".gguf"), strings.HasPrefix(base, "mmproj"):
		case parts != nil && parts[0] != file:
		default:
			names = append(names, file)
		}
	}
	slices.Sort(names)
	return names
}

// list asks the hub which files a repository has.
func (f *fetcher) list(ctx context.Context, r Ref) ([]string, error) {
	req, err := f.request(ctx, http.MethodGet, fmt.Sprintf("%s/api/models/%s/revision/%s", f.Endpoint, r.repo(), url.PathEscape(r.Revision)))
	if err != nil {
		return nil, err
	}
	resp, err := f.get.Do(req)
	if err != nil {
		return nil, unreachableError{err}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, refusal(resp, r, f.Token != "")
	}
	const most = 64 << 20 // bytes of the answer; the largest repositories have some megabytes
	var page struct {
		Siblings []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, most)).Decode(&page); err != nil {
		return nil, fmt.Errorf("%s answers with something else than a list of files: %w", f.Endpoint, err)
	}
	var files []string
	for _, s := range page.Siblings {
		files = append(files, s.Name)
	}
	return files, nil
}

// list returns the files of a revision that are in the cache.
func (c cache) list(revision string) (files []string) {
	commit, ok := c.commit(revision)
	if !ok {
		return nil
	}
	snapshot := os.DirFS(c.path("snapshots", commit))
	// What cannot be read is not in the cache.
	_ = fs.WalkDir(snapshot, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, name)
		}
		return nil
	})
	return files
}
