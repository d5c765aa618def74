import { Model } from '@nozbe/watermelondb'
import { field, text } from '@nozbe/watermelondb/decorators'

export class Task extends Model {
  static override table = 'tasks'
  @field('project') project!: string
  @text('name') name!: string
  @text('notes') notes!: string
  @field('duration') duration!: number
  @field('percent_complete') percentComplete!: number
  @field('status') status!: string
  @field('is_milestone') isMilestone!: boolean
}

const modelOf = (name: string) => class extends Model { static override table = name }

/** Every synced table needs a model. Replace `modelOf` by classes of your own as you need them. */
export const modelClasses = [Task, ...['projects', 'dependencies', 'calendars', 'memberships'].map(modelOf)]
