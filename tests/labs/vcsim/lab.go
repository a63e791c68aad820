package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// settings are what a test may change while the simulator runs. Times are in seconds.
type settings struct {
	CloneDelay    float64  `json:"clone_delay"`    // each clone takes this long more
	FailClones    []int    `json:"fail_clones"`    // these clones (the first is 1, since start) lack resources
	AddressDelay  float64  `json:"address_delay"`  // from power-on to the IP
	NoAddress     []string `json:"no_address"`     // machines whose IP never arrives ("*": all)
	Instant       bool     `json:"instant"`        // there are instant clones (said at the start)
	SessionLength float64  `json:"session_length"` // age at which a session expires (0: never)
	ExpireNow     bool     `json:"expire_now"`     // every session there is expires at once
	Lacking       []string `json:"lacking"`        // methods of the API for which the user lacks the right

	GPUs map[string][]string `json:"gpus"` // ESXi host -> the vGPU profiles that it offers (said at the start)
}

type lab struct {
	model   *simulator.Model
	options options

	mutex   sync.Mutex
	current settings
	expired time.Time // sessions from before are void
	clones  int
	boots   int
	calls   map[string]int
	pending map[string]int  // machines whose clone is not over
	base    map[string]bool // the inventory's paths at the start: made again by themselves
	golden  *simulator.VirtualMachine
	saving  sync.Mutex
	dirty   chan struct{}
}

func newLab(model *simulator.Model, o options) *lab {
	return &lab{
		model: model, options: o, current: o.settings, calls: map[string]int{},
		pending: map[string]int{}, base: map[string]bool{}, dirty: make(chan struct{}, 1),
	}
}

// context returns a context of its own: locks are held on behalf of one.
func (l *lab) context() *simulator.Context {
	ctx := *l.model.Service.Context
	return &ctx
}

func (l *lab) set() settings {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.current
}

// handle sees every call before the simulator does: it counts, ends sessions and, for what the
// lab does otherwise, puts its own machine in the place of the simulator's. The registry keeps the
// simulator's own type, because the simulator relies on it in many places.
func (l *lab) handle(ctx *simulator.Context, method *simulator.Method) (mo.Reference, types.BaseMethodFault) {
	l.mutex.Lock()
	l.calls[method.Name]++
	l.mutex.Unlock()
	if l.void(ctx.Session) {
		switch method.Name {
		case "Login":
			ctx.Session = nil // a client logs in again with its old cookie
		case "RetrieveServiceContent", "Logout":
		default:
			return nil, &types.NotAuthenticated{NoPermission: types.NoPermission{
				Object: &method.This, PrivilegeId: "System.View",
			}}
		}
	}
	if slices.Contains(l.set().Lacking, method.Name) {
		return nil, &types.NoPermission{Object: &method.This, PrivilegeId: "Lab." + method.Name}
	}
	switch method.Name {
	case "InstantClone_Task":
		if vm, ok := ctx.Map.Get(method.This).(*simulator.VirtualMachine); ok && l.set().Instant {
			instead(ctx, &machine{VirtualMachine: vm, lab: l})
		}
	case "CloneVM_Task", "PowerOnVM_Task", "PowerOffVM_Task", "Destroy_Task", "RelocateVM_Task", "SetCustomValue", "setCustomValue":
		if vm, ok := ctx.Map.Get(method.This).(*simulator.VirtualMachine); ok {
			instead(ctx, &machine{VirtualMachine: vm, lab: l})
		}
	case "SetField":
		instead(ctx, &fields{CustomFieldsManager: ctx.Map.CustomFieldsManager(), lab: l})
	}
	return nil, nil
}

// instead has one call answered by an object of ours. The session is the call's own copy, and what
// it knows goes before the registry.
func instead(ctx *simulator.Context, object mo.Reference) {
	if ctx.Session != nil {
		ctx.Session.Registry = simulator.NewRegistry()
		ctx.Session.Registry.Put(object)
	}
}

func (l *lab) void(session *simulator.Session) bool {
	if session == nil {
		return false
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if session.LoginTime.Before(l.expired) {
		return true
	}
	length := l.current.SessionLength
	return length > 0 && time.Since(session.LoginTime) > seconds(length)
}

// nextClone counts a clone and says whether it is one that fails.
func (l *lab) nextClone() bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.clones++
	return slices.Contains(l.current.FailClones, l.clones)
}

func (l *lab) nextBoot() int {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.boots++
	return l.boots
}

func (l *lab) pend(name string, on bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if on {
		l.pending[name]++
	} else if l.pending[name]--; l.pending[name] == 0 {
		delete(l.pending, name)
	}
}

func (l *lab) isPending(name string) bool {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.pending[name] > 0
}

// allowed demands the same user and password as the API itself.
func (l *lab) allowed(w http.ResponseWriter, r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	if !ok || user != l.options.user || password != l.options.password {
		w.WriteHeader(http.StatusUnauthorized)
		return false
	}
	return true
}

// serveSettings changes the settings that the posted JSON object names; others stay.
func (l *lab) serveSettings(w http.ResponseWriter, r *http.Request) {
	if !l.allowed(w, r) {
		return
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	changed := l.current
	if err := decoder.Decode(&changed); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if changed.ExpireNow {
		l.expired = time.Now()
		changed.ExpireNow = false
	}
	l.current = changed
	w.WriteHeader(http.StatusNoContent)
}

// serveCalls answers how often each method of the API was called.
func (l *lab) serveCalls(w http.ResponseWriter, r *http.Request) {
	if !l.allowed(w, r) {
		return
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	_ = json.NewEncoder(w).Encode(l.calls)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
