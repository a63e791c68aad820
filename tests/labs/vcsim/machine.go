package main

import (
	"fmt"
	"log"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// machine answers the calls that the lab does otherwise; it lives for one call.
type machine struct {
	*simulator.VirtualMachine
	lab *lab
}

type work func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault)

var methodNames = map[string]string{
	"cloneVm": "CloneVM_Task", "powerOn": "PowerOnVM_Task",
	"powerOff": "PowerOffVM_Task", "destroy": "Destroy_Task",
	"relocateVm": "RelocateVM_Task", "instantClone": "InstantClone_Task",
}

// start runs work as a task. A task of the simulator holds its entity's lock while it runs, so a
// slow clone would block whoever reads the template: the lock taken is that of a name of its own.
func (m *machine) start(ctx *simulator.Context, name string, do work) types.ManagedObjectReference {
	entity := m.Self
	task := simulator.CreateTask(m.Self, name, func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		return do(m.lab.context())
	})
	task.Info.Entity = &types.ManagedObjectReference{
		Type: "VirtualMachine", Value: fmt.Sprintf("%s-%s-%d", entity.Value, name, time.Now().UnixNano()),
	}
	task.Info.EntityName = m.Name
	task.Info.Name = methodNames[name] // clients look the method of a running task up
	ref := task.Run(ctx)
	ctx.Map.AtomicUpdate(ctx, task, []types.PropertyChange{{Name: "info.entity", Val: &entity}})
	return ref
}

// finish waits for a task of the simulator's own and returns what came of it.
func finish(ctx *simulator.Context, ref types.ManagedObjectReference) (types.AnyType, types.BaseMethodFault) {
	task := ctx.Map.Get(ref).(*simulator.Task)
	task.Wait()
	if task.Info.Error != nil {
		return nil, task.Info.Error.Fault
	}
	return task.Info.Result, nil
}

// CloneVMTask clones with the settings' delay and faults, and applies the whole spec.config.
func (m *machine) CloneVMTask(ctx *simulator.Context, req *types.CloneVM_Task) soap.HasFault {
	fails := m.lab.nextClone()
	ref := m.start(ctx, "cloneVm", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		time.Sleep(seconds(m.lab.set().CloneDelay))
		if fails {
			return nil, &types.InsufficientResourcesFault{}
		}
		m.lab.pend(req.Name, true)
		result, fault := m.clone(ctx, req)
		m.lab.pend(req.Name, false)
		m.lab.save()
		return result, fault
	})
	return &methods.CloneVM_TaskBody{Res: &types.CloneVM_TaskResponse{Returnval: ref}}
}

func (m *machine) clone(ctx *simulator.Context, req *types.CloneVM_Task) (types.AnyType, types.BaseMethodFault) {
	var body soap.HasFault
	ctx.Map.WithLock(ctx, m.VirtualMachine, func() { body = m.VirtualMachine.CloneVMTask(ctx, req) })
	result, fault := finish(ctx, body.(*methods.CloneVM_TaskBody).Res.Returnval)
	if fault != nil {
		return nil, fault
	}
	made := ctx.Map.Get(result.(types.ManagedObjectReference)).(*simulator.VirtualMachine)
	if fault := configure(ctx, made, req.Spec.Config); fault != nil {
		return nil, fault
	}
	if req.Spec.Customization != nil { // the simulator's clone leaves it out
		var body soap.HasFault
		ctx.Map.WithLock(ctx, made, func() {
			body = made.CustomizeVMTask(ctx, &types.CustomizeVM_Task{This: made.Self, Spec: *req.Spec.Customization})
		})
		if _, fault := finish(ctx, body.(*methods.CustomizeVM_TaskBody).Res.Returnval); fault != nil {
			return nil, fault
		}
	}
	if req.Spec.PowerOn {
		body := (&machine{VirtualMachine: made, lab: m.lab}).PowerOnVMTask(ctx, &types.PowerOnVM_Task{This: made.Self})
		_, fault = finish(ctx, body.(*methods.PowerOnVM_TaskBody).Res.Returnval)
	}
	return result, fault
}

// configure applies what the simulator's own clone leaves out of spec.config.
func configure(ctx *simulator.Context, vm *simulator.VirtualMachine, spec *types.VirtualMachineConfigSpec) types.BaseMethodFault {
	if spec == nil || vm.Config.Template {
		return nil
	}
	rest := *spec
	rest.DeviceChange = nil // the clone did these
	var body soap.HasFault
	ctx.Map.WithLock(ctx, vm, func() {
		body = vm.ReconfigVMTask(ctx, &types.ReconfigVM_Task{This: vm.Self, Spec: rest})
	})
	_, fault := finish(ctx, body.(*methods.ReconfigVM_TaskBody).Res.Returnval)
	return fault
}

// InstantCloneTask makes a machine that runs at once, as its running source is.
func (m *machine) InstantCloneTask(ctx *simulator.Context, req *types.InstantClone_Task) soap.HasFault {
	ref := m.start(ctx, "instantClone", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		if m.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
			return nil, &types.InvalidPowerState{
				RequestedState: types.VirtualMachinePowerStatePoweredOn, ExistingState: m.Runtime.PowerState,
			}
		}
		where := req.Spec.Location
		folder := where.Folder
		if folder == nil {
			folder = m.Parent
		}
		where.Folder = nil
		m.lab.pend(req.Spec.Name, true)
		result, fault := m.clone(ctx, &types.CloneVM_Task{
			This: m.Self, Folder: *folder, Name: req.Spec.Name,
			Spec: types.VirtualMachineCloneSpec{
				Location: where, PowerOn: true,
				Config: &types.VirtualMachineConfigSpec{
					NumCPUs: m.Config.Hardware.NumCPU, MemoryMB: int64(m.Config.Hardware.MemoryMB),
					ExtraConfig: req.Spec.Config,
				},
			},
		})
		m.lab.pend(req.Spec.Name, false)
		m.lab.save()
		return result, fault
	})
	return &methods.InstantClone_TaskBody{Res: &types.InstantClone_TaskResponse{Returnval: ref}}
}

// RelocateVMTask moves, and mends the event: the simulator writes it before the move, so that it
// names the host that was left twice.
func (m *machine) RelocateVMTask(ctx *simulator.Context, req *types.RelocateVM_Task) soap.HasFault {
	ref := m.start(ctx, "relocateVm", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		var body soap.HasFault
		ctx.Map.WithLock(ctx, m.VirtualMachine, func() { body = m.VirtualMachine.RelocateVMTask(ctx, req) })
		result, fault := finish(ctx, body.(*methods.RelocateVM_TaskBody).Res.Returnval)
		if fault == nil {
			m.arrived(ctx)
			m.lab.save()
		}
		return result, fault
	})
	return &methods.RelocateVM_TaskBody{Res: &types.RelocateVM_TaskResponse{Returnval: ref}}
}

// arrived has the machine's last migration say where it is now.
func (m *machine) arrived(ctx *simulator.Context) {
	host, ok := ctx.Map.Get(*m.Runtime.Host).(*simulator.HostSystem)
	if !ok {
		return
	}
	manager := ctx.Map.EventManager()
	ctx.Map.WithLock(ctx, manager, func() {
		filter := types.EventFilterSpec{EventTypeId: []string{"VmMigratedEvent"}}
		body := manager.QueryEvents(ctx, &types.QueryEvents{This: manager.Self, Filter: filter}).(*methods.QueryEventsBody)
		var last *types.VmMigratedEvent
		for _, event := range body.Res.Returnval {
			move, ok := event.(*types.VmMigratedEvent)
			if ok && move.Vm.Vm == m.Self && (last == nil || move.Key > last.Key) {
				last = move
			}
		}
		if last != nil {
			last.Host = &types.HostEventArgument{
				EntityEventArgument: types.EntityEventArgument{Name: host.Name}, Host: host.Self,
			}
		}
	})
}

// PowerOnVMTask powers on and lets the machine boot: its IP arrives later.
func (m *machine) PowerOnVMTask(ctx *simulator.Context, req *types.PowerOnVM_Task) soap.HasFault {
	ref := m.start(ctx, "powerOn", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		var body soap.HasFault
		ctx.Map.WithLock(ctx, m.VirtualMachine, func() { body = m.VirtualMachine.PowerOnVMTask(ctx, req) })
		result, fault := finish(ctx, body.(*methods.PowerOnVM_TaskBody).Res.Returnval)
		if fault == nil {
			m.lab.save()
			go m.boot(m.Name)
		}
		return result, fault
	})
	return &methods.PowerOnVM_TaskBody{Res: &types.PowerOnVM_TaskResponse{Returnval: ref}}
}

// PowerOffVMTask powers off and stops what the machine stood for.
func (m *machine) PowerOffVMTask(ctx *simulator.Context, req *types.PowerOffVM_Task) soap.HasFault {
	ref := m.start(ctx, "powerOff", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		var body soap.HasFault
		ctx.Map.WithLock(ctx, m.VirtualMachine, func() { body = m.VirtualMachine.PowerOffVMTask(ctx, req) })
		result, fault := finish(ctx, body.(*methods.PowerOffVM_TaskBody).Res.Returnval)
		if fault == nil {
			m.halt(ctx, m.Name)
			m.lab.save()
		}
		return result, fault
	})
	return &methods.PowerOffVM_TaskBody{Res: &types.PowerOffVM_TaskResponse{Returnval: ref}}
}

// DestroyTask removes the machine and, once more, what it stood for.
func (m *machine) DestroyTask(ctx *simulator.Context, req *types.Destroy_Task) soap.HasFault {
	name := m.Name
	ref := m.start(ctx, "destroy", func(ctx *simulator.Context) (types.AnyType, types.BaseMethodFault) {
		var body soap.HasFault
		ctx.Map.WithLock(ctx, m.VirtualMachine, func() { body = m.VirtualMachine.DestroyTask(ctx, req) })
		result, fault := finish(ctx, body.(*methods.Destroy_TaskBody).Res.Returnval)
		if fault == nil {
			m.hook(m.lab.options.powerOff, name)
			m.lab.save()
		}
		return result, fault
	})
	return &methods.Destroy_TaskBody{Res: &types.Destroy_TaskResponse{Returnval: ref}}
}

// boot asks the hook for an IP (without one: one of the loopback's) and lets it arrive. Further
// lines that the hook prints, KEY=VALUE, are what the guest writes into its guestinfo.
func (m *machine) boot(name string) {
	current := m.lab.set()
	number := m.lab.nextBoot()
	address := fmt.Sprintf("127.1.%d.%d", number/250, number%250+1)
	told := ""
	if m.lab.options.powerOn != "" {
		address, told, _ = strings.Cut(m.hook(m.lab.options.powerOn, name), "\n")
	}
	if address == "" || slices.Contains(current.NoAddress, "*") || slices.Contains(current.NoAddress, name) {
		return
	}
	time.Sleep(seconds(current.AddressDelay))
	ctx := m.lab.context()
	if extra := guestinfo(told); len(extra) > 0 {
		_ = configure(ctx, m.VirtualMachine, &types.VirtualMachineConfigSpec{ExtraConfig: extra})
	}
	ctx.Map.WithLock(ctx, m.VirtualMachine, func() {
		if m.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOn {
			tell(ctx, m.VirtualMachine, address, types.VirtualMachineToolsRunningStatusGuestToolsRunning)
		}
	})
	m.lab.mark()
}

func guestinfo(text string) []types.BaseOptionValue {
	var found []types.BaseOptionValue
	for _, line := range strings.Split(text, "\n") {
		if key, value, ok := strings.Cut(line, "="); ok && strings.HasPrefix(key, "guestinfo.") {
			found = append(found, &types.OptionValue{Key: key, Value: value})
		}
	}
	return found
}

func (m *machine) halt(ctx *simulator.Context, name string) {
	m.hook(m.lab.options.powerOff, name)
	ctx.Map.WithLock(ctx, m.VirtualMachine, func() {
		tell(ctx, m.VirtualMachine, "", types.VirtualMachineToolsRunningStatusGuestToolsNotRunning)
	})
}

func tell(ctx *simulator.Context, vm *simulator.VirtualMachine, address string, tools types.VirtualMachineToolsRunningStatus) {
	var all []string
	if address != "" {
		all = []string{address}
	}
	nics := slices.Clone(vm.Guest.Net)
	if len(nics) > 0 {
		nics[0].IpAddress = all
	}
	ctx.Update(vm, []types.PropertyChange{
		{Name: "guest.ipAddress", Val: address},
		{Name: "summary.guest.ipAddress", Val: address},
		{Name: "guest.net", Val: nics},
		{Name: "guest.toolsRunningStatus", Val: string(tools)},
	})
}

// hook runs a command with the machine's name and returns what it printed.
func (m *machine) hook(command, name string) string {
	if command == "" {
		return ""
	}
	said, err := exec.Command("/bin/sh", "-c", command+` "$1"`, "sh", name).Output()
	if err != nil {
		log.Printf("vcsim: hook for %s: %v", name, err)
		return ""
	}
	return strings.TrimSpace(string(said))
}
