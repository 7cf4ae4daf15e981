package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// checkUnread notes a fault for metadata of the architecture and for tensors that no part of the
// model has asked for, unless they are known not to change what the model computes.
func (l *Loader) checkUnread() {
	for key := range l.file.Metadata() {
		name, ok := strings.CutPrefix(key, l.key(""))
		if ok && !l.found.keys[name] && !l.neutral(name) {
			v, _ := l.file.Value(key)
			l.fault("metadata %.100s is %.50s, which is not supported for architecture %s: it may change what the model computes",
				key, v, l.file.Architecture())
		}
	}
	var unread []string
	for _, t := range l.file.Tensors() {
		if !l.found.tensors[t.Name] && !l.found.spare[t.Name] && !harmless(t.Name) && !l.drafts(t.Name) {
			unread = append(unread, fmt.Sprintf("%.100s", t.Name))
		}
	}
	if len(unread) == 0 {
		return
	}
	l.fault("%s of the file %s not supported for architecture %s, and a model without some of its weights computes something else",
		some("tensor", unread), areOrIs(unread), l.file.Architecture())
}

// Notes returns messages about a loaded file for its user: the tensors that the model does not
// need.
func (l *Loader) Notes() []string {
	var names []string
	for _, t := range l.file.Tensors() {
		if !l.found.tensors[t.Name] {
			names = append(names, t.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s of the file %s not used: what the model computes from text does not depend on that", some("tensor", names), areOrIs(names))}
}

// some names the first of several.
func some(noun string, names []string) string {
	const most = 3
	if len(names) == 1 {
		return noun + " " + names[0]
	}
	more := ""
	if len(names) > most {
		more = fmt.Sprintf(" and %d more", len(names)-most)
	}
	return noun + "s " + strings.Join(names[:min(len(names), most)], ", ") + more
}

func areOrIs(names []string) string {
	if len(names) == 1 {
		return "is"
	}
	return "are"
}

// harmless reports whether a model computes the same from text without the tensor.
func harmless(name string) bool {
	switch {
	case strings.Contains(name, ".attn_rot_embd"): // RoPE's frequencies, which follow from their base
		return true
	case strings.HasPrefix(name, "optimizer."): // the state of training
		return true
	case strings.HasPrefix(name, "v."), strings.HasPrefix(name, "mm."): // the encoder of images, which some files hold too
		return true
	}
	return false
}

// drafts reports whether a tensor belongs to a block that only drafts tokens.
func (l *Loader) drafts(name string) bool {
	rest, ok := strings.CutPrefix(name, "blk.")
	number, _, _ := strings.Cut(rest, ".")
	block, err := strconv.Atoi(number)
	blocks, _ := l.file.Int(l.key("block_count"))
	return ok && err == nil && int64(block) < blocks && int64(block) >= blocks-int64(l.drafting())
}

// neutral reports whether metadata that the architecture does not read leaves the model as it is,
// by its name or by its value.
func (l *Loader) neutral(name string) bool {
	key := l.key(name)
	switch name {
	case "name", "description", "vocab_size", "rope.scaling.finetuned": // the size of the vocabulary is that of the embedding
		return true
	case "attention.causal":
		causal, err := l.file.Bool(key)
		return err == nil && causal
	case "use_parallel_residual":
		parallel, err := l.file.Bool(key)
		return err == nil && !parallel
	case "tensor_data_layout": // the order of rows that converters have always written
		layout, err := l.file.String(key)
		return err == nil && slices.Contains([]string{"reference", "Meta AI original pth"}, layout)
	case "embedding_scale", "residual_scale", "logit_scale", "attention.scale":
		x, err := l.file.Float(key) // llama.cpp takes 0 for none
		return err == nil && (x == 0 || x == 1 && name != "attention.scale")
	case "expert_group_count", "expert_group_used_count": // one group is none
		n, err := l.file.Int(key)
		return err == nil && (n == 0 || n == 1)
	case "attention.sliding_window": // one that no token leaves is none
		n, err := l.file.Int(key)
		return err == nil && (n == 0 || n >= int64(l.IntOr("context_length", defaultContext)))
	case "expert_count", "expert_used_count", "expert_shared_count", "leading_dense_block_count",
		"attention.max_alibi_bias", "attention.clamp_kqv", "attention.temperature_scale",
		"attn_logit_softcapping", "final_logit_softcapping", "pooling_type":
		x, err := l.file.Float(key)
		return err == nil && x == 0
	}
	return strings.HasPrefix(name, "quantization")
}
