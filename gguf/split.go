package gguf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// The keys of a file that is a part of a model. Only the first part has the model's other metadata.
const (
	splitNo      = "split.no"            // uint16: which part this is, from 0
	splitCount   = "split.count"         // uint16: how many there are
	splitTensors = "split.tensors.count" // int32: tensors in all parts together
)

// Part is one of the files that a model is split into.
type Part struct {
	Path    string
	Tensors int   // how many it holds; a first part may hold none
	Size    int64 // bytes of the file
}

// partName matches the names that llama.cpp gives to parts, counted from 1. A file does not name
// the other parts.
var partName = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.gguf$`)

// PartNames returns the names of all parts, in order, of a model of which name is one part; nil if
// name does not have the form of a part's, "model-00001-of-00003.gguf". A path is kept in front.
func PartNames(name string) []string {
	m := partName.FindStringSubmatch(name)
	if m == nil {
		return nil
	}
	i, _ := strconv.Atoi(m[2])
	n, _ := strconv.Atoi(m[3])
	if i < 1 || i > n {
		return nil
	}
	names := make([]string, n)
	for i := range names {
		names[i] = nameOf(m[1], i, n)
	}
	return names
}

// nameOf returns the name of part i of n, whose name begins with prefix.
func nameOf(prefix string, i, n int) string {
	return fmt.Sprintf("%s-%05d-of-%05d.gguf", prefix, i+1, n)
}

// place is the position of a file in a split model: part no of count parts, which hold so many
// tensors together.
type place struct{ no, count, tensors int }

// place returns where f stands in a split model, and false if f is a model of its own. ggml reads
// the keys as the kinds that llama.cpp writes, and ends the process if split.no is of another.
func (f *File) place() (at place, split bool, err error) {
	if _, ok := f.Value(splitCount); !ok {
		return at, false, nil
	}
	for _, k := range []struct {
		key  string
		kind Kind
		into *int
	}{{splitCount, KindUint16, &at.count}, {splitNo, KindUint16, &at.no}, {splitTensors, KindInt32, &at.tensors}} {
		v, ok := f.Value(k.key)
		if !ok {
			return at, false, fmt.Errorf("%s is missing, which parts of a model have", k.key)
		}
		if v.kind != k.kind {
			return at, false, fmt.Errorf("%s is %s, want %s", k.key, v.kind, k.kind)
		}
		n, _ := f.Int(k.key) // the kind was checked
		if *k.into = int(n); k.key == splitCount && n <= 1 {
			return at, false, nil // the whole model
		}
	}
	if at.no >= at.count {
		return at, false, fmt.Errorf("%s is %d, want less than %s, %d", splitNo, at.no, splitCount, at.count)
	}
	return at, true, nil
}

// open opens the file at path and, if it is a part of a model, the others beside it.
func open(path string) (*File, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	at, split, err := f.place()
	if err == nil && !split {
		return f, nil
	}
	var parts []*File
	if err == nil {
		parts, err = openParts(path, f, at)
	} else {
		err = fmt.Errorf("gguf: %s: %w", path, err)
	}
	if err == nil {
		err = join(parts, at)
	}
	if err != nil {
		return nil, errors.Join(err, closeAll(append(parts, f)))
	}
	return parts[0], nil
}

// JoinHeaders returns the model whose parts, in order, ParseHeader has read from files of those
// names: one, for most models. The parts are not used afterwards.
func JoinHeaders(names []string, parts []*File) (*File, error) {
	if len(parts) == 0 || len(names) != len(parts) {
		return nil, fmt.Errorf("gguf: %d names for %d parts: want as many, and at least one", len(names), len(parts))
	}
	for i, f := range parts {
		f.parts[0].Path = names[i]
	}
	at, split, err := parts[0].place()
	switch {
	case err != nil:
		return nil, fmt.Errorf("gguf: %s: %w", names[0], err)
	case !split && len(parts) == 1:
		return parts[0], nil
	case !split:
		at = place{count: len(parts)} // belongs says what is wrong
	case len(parts) != at.count:
		return nil, fmt.Errorf("gguf: %s: is part %d of %d, which are found by their names: want one that ends in %s",
			names[0], at.no+1, at.count, nameOf("", at.no, at.count))
	}
	for i, f := range parts {
		if err := f.belongs(place{i, at.count, at.tensors}, parts[0]); err != nil {
			return nil, fmt.Errorf("gguf: %s: %w", names[i], err)
		}
	}
	if err := join(parts, at); err != nil {
		return nil, err
	}
	return parts[0], nil
}

// openParts opens all parts of the model of which f, the file at path, is one. They are returned
// with an error too.
func openParts(path string, f *File, at place) (parts []*File, err error) {
	names, err := findParts(path, at)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		part := f
		if i != at.no {
			if part, err = openFile(name); err != nil {
				return parts, err
			}
		}
		parts = append(parts, part)
		if err := part.belongs(place{i, at.count, at.tensors}, f); err != nil {
			return parts, fmt.Errorf("gguf: %s: %w", name, err)
		}
	}
	return parts, nil
}

// findParts returns the names of all parts, and an error if files of them are missing or path is
// not named like a part.
func findParts(path string, at place) ([]string, error) {
	names := PartNames(path)
	if len(names) != at.count || names[at.no] != path {
		return nil, fmt.Errorf("gguf: %s: is part %d of %d, which are found by their names: want one that ends in %s",
			path, at.no+1, at.count, nameOf("", at.no, at.count))
	}
	const most = 3 // of the names in an error
	var missing []string
	lost := 0
	for _, name := range names {
		if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
			if lost++; lost <= most {
				missing = append(missing, filepath.Base(name))
			}
		}
	}
	if lost == 0 {
		return names, nil
	}
	more := ""
	if lost > most {
		more = fmt.Sprintf(" and %d more", lost-most)
	}
	return nil, fmt.Errorf("gguf: %s: %d of the model's %d parts are missing beside it: %s%s: %w",
		path, lost, at.count, strings.Join(missing, ", "), more, os.ErrNotExist)
}

// belongs reports why f is not the part of a model that it should be. other is one that is.
func (f *File) belongs(want place, other *File) error {
	got, split, err := f.place()
	switch a, b := f.Architecture(), other.Architecture(); {
	case err != nil:
		return err
	case !split:
		return fmt.Errorf("is no part of a model: %s is missing or below 2, want %d", splitCount, want.count)
	case got.count != want.count:
		return fmt.Errorf("%s is %d, want %d as in %s: this is a part of another model", splitCount, got.count, want.count, other.parts[0].Path)
	case got.no != want.no:
		return fmt.Errorf("%s is %d, want %d for a file of this name: it was renamed", splitNo, got.no, want.no)
	case got.tensors != want.tensors:
		return fmt.Errorf("%s is %d, want %d as in %s: this is a part of another model", splitTensors, got.tensors, want.tensors, other.parts[0].Path)
	case a != "" && b != "" && a != b: // parts other than the first need not say
		return fmt.Errorf("general.architecture is %s, want %s as in %s: this is a part of another model", quote(a), quote(b), other.parts[0].Path)
	}
	return nil
}

// join adds the tensors of all parts to the first. The other Files are not used afterwards.
func join(files []*File, at place) error {
	all := files[0]
	for i, f := range files[1:] {
		for _, t := range f.tensors {
			if j, ok := all.tensorIndex[t.Name]; ok {
				return fmt.Errorf("gguf: %s: tensor %s is in %s too", f.parts[0].Path, quote(t.Name), all.parts[all.tensors[j].Part].Path)
			}
			t.Part = i + 1
			all.tensorIndex[t.Name] = len(all.tensors)
			all.tensors = append(all.tensors, t)
		}
		all.parts = append(all.parts, f.parts...)
		f.parts = nil // they are all's to close
	}
	if n := len(all.tensors); n != at.tensors {
		return fmt.Errorf("gguf: %s: %s is %d, and the %d parts have %d tensors together", all.parts[0].Path, splitTensors, at.tensors, at.count, n)
	}
	return nil
}

func closeAll(files []*File) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
