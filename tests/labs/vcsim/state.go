package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path"
	"sort"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// saved is what outlives the process: what clients made, by inventory path, because references
// are new after a start. Snapshots, permissions, tags and tasks are not kept.
type saved struct {
	Fields   []types.CustomFieldDef
	Folders  []string
	Pools    []savedPool
	Machines []savedMachine
}

type savedPool struct {
	Path   string
	Config types.ResourceConfigSpec
	Values map[string]string // custom attributes by name
}

type savedMachine struct {
	Path, Pool, Host, Note, Address string
	CPUs, Memory                    int32 // Memory in MiB
	CPUShare, MemoryShare           *types.ResourceAllocationInfo
	Extra                           map[string]string
	Values                          map[string]string // custom attributes by name
	On                              bool
}

// where returns an object's inventory path.
func where(ctx *simulator.Context, ref types.ManagedObjectReference) string {
	entity, ok := ctx.Map.Get(ref).(mo.Entity)
	if !ok {
		return ""
	}
	e := entity.Entity()
	if e.Parent == nil {
		return "/"
	}
	return path.Join(where(ctx, *e.Parent), e.Name)
}

// all returns the inventory's objects of a kind by path.
func (l *lab) all(ctx *simulator.Context, kind string) map[string]mo.Entity {
	found := map[string]mo.Entity{}
	for _, e := range ctx.Map.All(kind) {
		found[where(ctx, e.Reference())] = e
	}
	return found
}

// snapshot collects what clients made. Machines whose clone is not over are left out: vCenter
// knows a machine when its clone is complete.
func (l *lab) snapshot(ctx *simulator.Context) saved {
	s := saved{Fields: ctx.Map.CustomFieldsManager().Field}
	for at := range l.all(ctx, "Folder") {
		if !l.base[at] {
			s.Folders = append(s.Folders, at)
		}
	}
	sort.Strings(s.Folders)
	for at, e := range l.all(ctx, "ResourcePool") {
		if p, ok := e.(*simulator.ResourcePool); ok && !l.base[at] {
			ctx.Map.WithLock(ctx, p, func() {
				s.Pools = append(s.Pools, savedPool{at, p.Config, values(p.CustomValue, s.Fields)})
			})
		}
	}
	sort.Slice(s.Pools, func(i, j int) bool { return s.Pools[i].Path < s.Pools[j].Path })
	for at, e := range l.all(ctx, "VirtualMachine") {
		if vm, ok := e.(*simulator.VirtualMachine); ok && !l.base[at] && !l.isPending(vm.Name) {
			ctx.Map.WithLock(ctx, vm, func() { s.Machines = append(s.Machines, describe(ctx, at, vm, s.Fields)) })
		}
	}
	sort.Slice(s.Machines, func(i, j int) bool { return s.Machines[i].Path < s.Machines[j].Path })
	return s
}

func describe(ctx *simulator.Context, at string, vm *simulator.VirtualMachine, fields []types.CustomFieldDef) savedMachine {
	m := savedMachine{
		Path: at, Note: vm.Config.Annotation, Address: vm.Guest.IpAddress,
		CPUs: vm.Config.Hardware.NumCPU, Memory: vm.Config.Hardware.MemoryMB,
		CPUShare: vm.Config.CpuAllocation, MemoryShare: vm.Config.MemoryAllocation,
		Extra: map[string]string{}, Values: values(vm.CustomValue, fields),
		On: vm.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn,
	}
	if vm.ResourcePool != nil {
		m.Pool = where(ctx, *vm.ResourcePool)
	}
	if vm.Runtime.Host != nil {
		m.Host = where(ctx, *vm.Runtime.Host)
	}
	for _, o := range vm.Config.ExtraConfig {
		if text, ok := o.GetOptionValue().Value.(string); ok {
			m.Extra[o.GetOptionValue().Key] = text
		}
	}
	return m
}

// values returns custom attributes by name.
func values(given []types.BaseCustomFieldValue, fields []types.CustomFieldDef) map[string]string {
	found := map[string]string{}
	for _, v := range given {
		value, ok := v.(*types.CustomFieldStringValue)
		for _, f := range fields {
			if ok && f.Key == value.Key {
				found[f.Name] = value.Value
			}
		}
	}
	return found
}

// save writes the state; a clone's task ends only afterwards.
func (l *lab) save() {
	if l.options.state == "" {
		return
	}
	l.saving.Lock()
	defer l.saving.Unlock()
	data, err := json.MarshalIndent(l.snapshot(l.context()), "", " ")
	if err == nil {
		err = os.WriteFile(l.options.state+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(l.options.state+".new", l.options.state)
	}
	if err != nil {
		log.Printf("vcsim: state: %v", err)
	}
}

// mark has the state written soon.
func (l *lab) mark() {
	select {
	case l.dirty <- struct{}{}:
	default:
	}
}

// fields sets custom attributes, of which the simulator tells nobody.
type fields struct {
	*simulator.CustomFieldsManager
	lab *lab
}

func (f *fields) SetField(ctx *simulator.Context, req *types.SetField) soapFault {
	defer f.lab.mark()
	return f.CustomFieldsManager.SetField(ctx, req)
}

func (m *machine) SetCustomValue(ctx *simulator.Context, req *types.SetCustomValue) soapFault {
	defer m.lab.mark()
	return m.VirtualMachine.SetCustomValue(ctx, req)
}

// observer sees every change of the inventory.
type observer struct {
	types.ManagedObjectReference
	lab *lab
}

func (o *observer) PutObject(_ *simulator.Context, item mo.Reference) { o.see(item.Reference()) }
func (o *observer) UpdateObject(_ *simulator.Context, item mo.Reference, _ []types.PropertyChange) {
	o.see(item.Reference())
}
func (o *observer) RemoveObject(_ *simulator.Context, ref types.ManagedObjectReference) { o.see(ref) }
func (o *observer) see(ref types.ManagedObjectReference) {
	switch ref.Type {
	case "VirtualMachine", "ResourcePool", "Folder", "CustomFieldsManager":
		o.lab.mark()
	}
}

// watch saves whatever changes, within milliseconds.
func (l *lab) watch() {
	ref := types.ManagedObjectReference{Type: "LabObserver", Value: "lab-observer"}
	l.model.Map().AddHandler(&observer{ref, l})
	go func() {
		for range l.dirty {
			l.save()
		}
	}()
	l.mark()
}

// restore makes again what the state file holds.
func (l *lab) restore() error {
	ctx := l.context()
	for _, kind := range []string{"Folder", "ResourcePool", "VirtualMachine"} {
		for at := range l.all(ctx, kind) {
			l.base[at] = true
		}
	}
	if l.options.state == "" {
		return nil
	}
	data, err := os.ReadFile(l.options.state)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var s saved
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	for _, f := range s.Fields {
		ctx.Map.CustomFieldsManager().AddCustomFieldDef(ctx, &types.AddCustomFieldDef{Name: f.Name, MoType: f.ManagedObjectType})
	}
	for _, at := range s.Folders { // sorted: parents first
		if parent, ok := l.all(ctx, "Folder")[path.Dir(at)].(folder); ok {
			parent.CreateFolder(ctx, &types.CreateFolder{This: parent.Reference(), Name: path.Base(at)})
		}
	}
	for _, p := range s.Pools {
		if parent, ok := l.all(ctx, "ResourcePool")[path.Dir(p.Path)].(*simulator.ResourcePool); ok {
			parent.CreateResourcePool(ctx, &types.CreateResourcePool{This: parent.Self, Name: path.Base(p.Path), Spec: p.Config})
			for name, value := range p.Values {
				l.tag(ctx, l.all(ctx, "ResourcePool")[p.Path].Reference(), name, value)
			}
		}
	}
	for _, m := range s.Machines {
		if err := l.again(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// tag sets a custom attribute of any object, by name.
func (l *lab) tag(ctx *simulator.Context, entity types.ManagedObjectReference, name, value string) {
	manager := ctx.Map.CustomFieldsManager()
	for _, f := range manager.Field {
		if f.Name == name && (f.ManagedObjectType == "" || f.ManagedObjectType == entity.Type) {
			manager.SetField(ctx, &types.SetField{This: manager.Self, Entity: entity, Key: f.Key, Value: value})
		}
	}
}

type folder interface {
	mo.Entity
	CreateFolder(*simulator.Context, *types.CreateFolder) soapFault
}

// again makes one machine again, without its hooks: what it stands for has gone on running.
func (l *lab) again(ctx *simulator.Context, m savedMachine) error {
	parent := l.all(ctx, "Folder")[path.Dir(m.Path)]
	pool := l.all(ctx, "ResourcePool")[m.Pool]
	host := l.all(ctx, "HostSystem")[m.Host]
	if parent == nil || pool == nil || host == nil {
		return fmt.Errorf("state: %s has no folder, pool or host", m.Path)
	}
	config := types.VirtualMachineConfigSpec{
		NumCPUs: m.CPUs, MemoryMB: int64(m.Memory), Annotation: m.Note,
		CpuAllocation: m.CPUShare, MemoryAllocation: m.MemoryShare,
	}
	for key, value := range m.Extra {
		config.ExtraConfig = append(config.ExtraConfig, &types.OptionValue{Key: key, Value: value})
	}
	inPool, onHost := pool.Reference(), host.Reference()
	vm, err := l.cloned(ctx, path.Base(m.Path), parent.Reference(), types.VirtualMachineCloneSpec{
		Location: types.VirtualMachineRelocateSpec{Pool: &inPool, Host: &onHost},
		Config:   &config,
	})
	if err != nil {
		return err
	}
	for name, value := range m.Values {
		l.tag(ctx, vm.Self, name, value)
	}
	if m.On {
		if err := done(ctx, vm.PowerOnVMTask(ctx, &types.PowerOnVM_Task{This: vm.Self})); err != nil {
			return err
		}
		if m.Address != "" {
			tell(ctx, vm, m.Address, types.VirtualMachineToolsRunningStatusGuestToolsRunning)
		}
	}
	return nil
}
