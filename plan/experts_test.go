package plan

import (
	"strings"
	"testing"
)

// Experts of 600 of the 1000 bytes of weights lie in host memory; a step reads 60 of them, where it
// reads 400 in all, while the device waits.
func TestExpertsOnTheCPULeaveTheDeviceTheirBytesAndTakeTheirTime(t *testing.T) {
	r, m := asked(1024), round
	r.StepWeights, m.HostRate = 400, 20
	whole, err := r.On(m)
	if err != nil {
		t.Fatal(err)
	}
	r.CPUExperts = Experts{Layers: 2, Weights: 600, Read: 60}
	got, err := r.On(m)
	if err != nil {
		t.Fatal(err)
	}
	if left := got.Footprint.Weights; left != 400 || whole.Footprint.Weights != 1000 {
		t.Errorf("%d of %d bytes of weights on the device, want 400 of 1000", left, whole.Footprint.Weights)
	}
	const cpu, device = 60.0 / 20, 60.0 / 1000
	for _, d := range []struct{ got, want Decode }{{got.Full, whole.Full}, {got.Half, whole.Half}} {
		if !near(d.got.Experts, cpu) || !near(d.got.Compute, d.want.Compute-device+cpu) || !near(d.got.Seconds, d.got.Compute) {
			t.Errorf("a step takes %+v; want %g seconds for experts where the device had taken %g of %+v", d.got, cpu, device, d.want)
		}
		if e := d.got.Expected; !near(e.Experts, cpu) || e.Compute < d.want.Expected.Compute+cpu/2 || e.Seconds < cpu {
			t.Errorf("expected %+v where it was %+v without: want at least the CPU's %g seconds more", e, d.want.Expected, cpu)
		}
	}
	if m.HostRate = 0; !near(r.expertSeconds(m), 60/assumedHost) {
		t.Errorf("%g seconds where no rate is stated", r.expertSeconds(m))
	}
}

func TestExpertsThatMakeNoSenseAreErrors(t *testing.T) {
	for _, e := range []Experts{{Layers: -1}, {Layers: 5}, {Layers: 1, Weights: 1001}, {Layers: 1, Weights: 10, Read: 11}, {Layers: 1, Read: -1}} {
		r := asked(1024)
		r.CPUExperts = e
		if _, err := r.On(round); err == nil || !strings.Contains(err.Error(), "on the CPU") {
			t.Errorf("%+v: %v, want an error", e, err)
		}
	}
}
