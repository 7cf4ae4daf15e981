package hub

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// cache is a repository's folder in the cache.
type cache struct {
	root string // the cache folder
	dir  string // the repository's name in it
}

func newCache(root string, r Ref) cache {
	return cache{root: root, dir: "models--" + r.Owner + "--" + r.Repo}
}

func (c cache) path(parts ...string) string {
	return filepath.Join(append([]string{c.root, c.dir}, parts...)...)
}

func (c cache) blob(sum string) string       { return c.path("blobs", sum) }
func (c cache) incomplete(sum string) string { return c.blob(sum) + ".incomplete" }
func (c cache) lock(sum string) string       { return filepath.Join(c.root, ".locks", c.dir, sum+".lock") }
func (c cache) ref(revision string) string   { return c.path("refs", filepath.FromSlash(revision)) }

func (c cache) snapshot(commit, file string) string {
	return c.path("snapshots", commit, filepath.FromSlash(file))
}

// find returns the paths of files at a revision, if all of them are there.
func (c cache) find(revision string, files []string) ([]string, bool) {
	commit, ok := c.commit(revision)
	if !ok {
		return nil, false
	}
	var paths []string
	for _, file := range files {
		path := c.snapshot(commit, file)
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return nil, false
		}
		paths = append(paths, path)
	}
	return paths, true
}

// commit returns the commit that a revision was at when it was fetched last.
func (c cache) commit(revision string) (string, bool) {
	if commitID.MatchString(revision) {
		return revision, true
	}
	data, err := os.ReadFile(c.ref(revision))
	commit := strings.TrimSpace(string(data))
	return commit, err == nil && commitID.MatchString(commit)
}

// link gives a blob its name in the snapshot of a commit, and returns the path. Where symbolic
// links are not possible, the blob is moved there, as huggingface_hub does.
func (c cache) link(commit, file, sum string) (string, error) {
	path, blob := c.snapshot(commit, file), c.blob(sum)
	if same(path, blob) {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return "", err
	}
	target, err := filepath.Rel(filepath.Dir(path), blob) // relative, so that the cache can be moved
	if err != nil {
		return "", err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := os.Symlink(target, path); err == nil || same(path, blob) { // another process may have been faster
		return path, nil
	}
	if err := os.Rename(blob, path); err != nil {
		return "", err
	}
	return path, nil
}

// same reports whether two paths lead to one file.
func same(a, b string) bool {
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// remember records which commit a branch or tag is at.
func (c cache) remember(revision, commit string) error {
	if revision == commit {
		return nil
	}
	path := c.ref(revision)
	if data, err := os.ReadFile(path); err == nil && string(data) == commit {
		return nil // so that a cache that cannot be written still serves
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(commit), 0o666); err != nil {
		return err
	}
	return nil
}
