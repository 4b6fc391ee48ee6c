export { CpuModelError } from './isa/cpuModel.js';
export type { MapFormat, MapReport } from './kernel/guestOptions.js';
export { GuestProcess } from './machine/guestProcess.js';
export { createMachine, InternalError, Machine, type MachineStatistics } from './machine/machine.js';
export {
  type DirectoryMount,
  type ExitStatus,
  type InputSource,
  type MachineOptions,
  type NetworkName,
  type OutputSink,
  SpawnError,
  type SpawnOptions,
  type TranslationLogItem,
} from './machine/options.js';
export type { Activity } from './observe/activity.js';
export type { GuestMemory, MachineMemory } from './observe/memoryUse.js';
export type { RegionStatistics } from './observe/regionProfile.js';
export type { GuestStatistics } from './observe/statistics.js';
