package main

import (
	"errors"
	"os"

	"github.com/seed4d217819/ebb/gguf"
)

// chatTemplate is that of the model that writeChatModel writes. It refuses a system message that says so.
const chatTemplate = `{% for m in messages %}` +
	`{% if m['content'] == 'refuse me' %}{{ raise_exception('not that') }}{% endif %}` +
	`{{ '<s>' + m['role'] + ' ' + m['content'] + '</s>' }}{% endfor %}` +
	`{% if add_generation_prompt %}{{ '<s>assistant ' }}{% endif %}`

// writeChatModel writes a tiny model that has a chat template.
func writeChatModel(path string) error {
	return writeTinyModel(path, []gguf.KV{{Key: "tokenizer.chat_template", Value: chatTemplate}}, nil)
}

// writeOddModel writes a tiny model with a tensor that llama.cpp does not know, and so refuses; ebb leaves it alone.
func writeOddModel(path string) error {
	return writeTinyModel(path, nil, []gguf.TensorData{{Name: "odd.weight", Type: gguf.F32, Shape: []int64{1}, Data: make([]byte, 4)}})
}

// writeTinyModel writes a tiny model with more metadata and tensors than it has.
func writeTinyModel(path string, meta []gguf.KV, tensors []gguf.TensorData) (err error) {
	tiny, err := gguf.Open("../../testdata/models/tiny-gqa.gguf")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tiny.Close()) }()
	for key, value := range tiny.Metadata() {
		meta = append(meta, gguf.KV{Key: key, Value: value.Any()})
	}
	for _, t := range tiny.Tensors() {
		tensors = append(tensors, gguf.TensorData{Name: t.Name, Type: t.Type, Shape: t.Shape, Data: tiny.Data(t)})
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(gguf.Write(file, meta, tensors), file.Close())
}
