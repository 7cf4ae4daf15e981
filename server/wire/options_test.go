package wire_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed4d217819/ebb/server/wire"
	"github.com/seed4d217819/ebb/service"
)

// loading is a model that takes its time to load.
type loading struct {
	service.Models
	takes time.Duration
	users int
}

func (l *loading) Use(ctx context.Context, _ string) (service.Answerer, func(), error) {
	select {
	case <-time.After(l.takes):
		l.users++
		return nil, func() { l.users-- }, nil
	case <-ctx.Done():
		if l.takes == time.Hour { // it is loaded at the same time
			l.users++
			return nil, func() { l.users-- }, nil
		}
		return nil, nil, context.Cause(ctx)
	}
}

func TestAStreamSaysThatItsModelIsLoading(t *testing.T) {
	gone := errors.New("gone")
	for _, tt := range []struct {
		takes time.Duration
		beats int
		last  error // of the last beat
	}{
		{7 * time.Second, 0, nil}, // an error would have its status
		{30 * time.Second, 3, nil},
		{time.Minute, 2, gone},
		{time.Hour, 2, gone},
	} {
		synctest.Test(t, func(t *testing.T) {
			m, beats := &loading{takes: tt.takes}, 0
			_, done, err := wire.Options{}.Use(t.Context(), m, "m", func() error {
				if beats++; beats == tt.beats {
					return tt.last
				}
				return nil
			})
			if !errors.Is(err, tt.last) || beats != tt.beats || m.users == 1 != (err == nil) {
				t.Errorf("a load of %v: %d beats, want %d; %d users, %v", tt.takes, beats, tt.beats, m.users, err)
			}
			if err == nil {
				done()
			}
			if _, done, err = (wire.Options{}).Use(t.Context(), m, "m", nil); err != nil || m.users != 1 {
				t.Error(err)
			}
			done()
		})
	}
}
