package ollama

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// apiVersion is the version of Ollama whose API this is. Programs refuse older ones.
const apiVersion = "0.40.0"

// latest is the tag that Ollama puts behind a name without one.
const latest = ":latest"

// modelName returns the name of a model without its tag.
func modelName(name string) string { return strings.TrimSuffix(name, latest) }

func (h *Handler) version(w http.ResponseWriter, _ *http.Request) error {
	_ = wire.JSON(w, http.StatusOK, map[string]string{"version": apiVersion}) // whoever asked may have gone
	return nil
}

// model describes a model as lists have it.
type model struct {
	Name     string    `json:"name"`
	Model    string    `json:"model"`
	Modified time.Time `json:"modified_at"`
	Size     int64     `json:"size"` // of the weights; not known: 0
	Digest   string    `json:"digest"`
	Details  details   `json:"details"`

	// Of a model that is loaded.
	Expires *time.Time `json:"expires_at,omitempty"`
	VRAM    *int64     `json:"size_vram,omitempty"` // not known: 0
	Context int        `json:"context_length,omitempty"`
}

type details struct {
	Parent       string   `json:"parent_model"`
	Format       string   `json:"format"`
	Family       string   `json:"family"`
	Families     []string `json:"families"`
	Parameters   string   `json:"parameter_size"`     // not known: ""
	Quantization string   `json:"quantization_level"` // not known: ""
}

func describe(m service.Model) model {
	digest := sha256.Sum256([]byte(m.Name)) // something that is the model's own: no file is read for it
	return model{
		Name: m.Name + latest, Model: m.Name + latest, Modified: m.Created, Size: m.Bytes, Digest: hex.EncodeToString(digest[:]), Details: detailsOf(m),
	}
}

func detailsOf(m service.Model) details {
	return details{
		Format: "gguf", Family: m.Architecture, Families: []string{m.Architecture},
		Parameters: parameters(m.Parameters), Quantization: m.Quantization,
	}
}

// parameters writes how many parameters a model has as Ollama does: 7.6B, or 494.03M.
func parameters(n int64) string {
	switch {
	case n == 0:
		return ""
	case n >= 1e9:
		return fmt.Sprintf("%.1fB", float64(n)/1e9)
	}
	return fmt.Sprintf("%.2fM", float64(n)/1e6)
}

func (h *Handler) tags(w http.ResponseWriter, _ *http.Request) error {
	list := []model{}
	for _, m := range h.models.List() {
		list = append(list, describe(m))
	}
	_ = wire.JSON(w, http.StatusOK, map[string]any{"models": list})
	return nil
}

// ps lists what is loaded.
func (h *Handler) ps(w http.ResponseWriter, _ *http.Request) error {
	list := []model{}
	for _, m := range h.models.List() {
		if m.Loaded {
			d := describe(m)
			d.Expires, d.VRAM, d.Context = new(time.Now().AddDate(1, 0, 0)), new(int64), m.Context
			list = append(list, d)
		}
	}
	_ = wire.JSON(w, http.StatusOK, map[string]any{"models": list})
	return nil
}

// shown is what there is to say of a model.
type shown struct {
	Modelfile    string         `json:"modelfile"`
	Parameters   string         `json:"parameters"`
	Template     string         `json:"template"`
	Details      details        `json:"details"`
	Info         map[string]any `json:"model_info"`
	Capabilities []string       `json:"capabilities"`
	Modified     time.Time      `json:"modified_at"`
}

func (h *Handler) show(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Model string `json:"model"`
		Name  string `json:"name"` // what model was called at first
	}
	if fault := h.options.Read(w, r, &q); fault != nil {
		return fault
	}
	if q.Model == "" {
		q.Model = q.Name
	}
	m, err := h.models.Find(modelName(q.Model))
	if err != nil {
		return err
	}
	s := shown{Template: m.Template, Details: detailsOf(m), Capabilities: []string{"completion"}, Modified: m.Created, Info: map[string]any{
		"general.architecture":              m.Architecture,
		m.Architecture + ".context_length":  m.Context, // what the server has room for
		m.Architecture + ".vocabulary_size": m.Vocabulary,
	}}
	if m.Parameters > 0 {
		s.Info["general.parameter_count"] = m.Parameters
	}
	if m.Tools {
		s.Capabilities = append(s.Capabilities, "tools")
	}
	_ = wire.JSON(w, http.StatusOK, s)
	return nil
}
