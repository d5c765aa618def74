// TruePPM sync: what a pull answers, and WatermelonDB's schema for it. Copy this file into the app.
// Made by `cargo run -p local -- typescript`.
import { appSchema, tableSchema } from '@nozbe/watermelondb';
/** What a member may do; each role may all that the ones below it may. */
export const Role = { Viewer: 1, Member: 100, Scheduler: 200, Admin: 300, Owner: 400 };
/** The five tables. An app that adds a column or a table raises `version`. */
export const schema = appSchema({
    version: 1,
    tables: [
        tableSchema({
            name: 'projects',
            columns: [
                { name: 'server_version', type: 'number' },
                { name: 'name', type: 'string' },
                { name: 'description', type: 'string' },
                { name: 'start_date', type: 'string' },
                { name: 'calendar', type: 'string', isOptional: true },
            ],
        }),
        tableSchema({
            name: 'tasks',
            columns: [
                { name: 'server_version', type: 'number' },
                { name: 'project', type: 'string' },
                { name: 'name', type: 'string' },
                { name: 'wbs_path', type: 'string', isOptional: true },
                { name: 'duration', type: 'number' },
                { name: 'percent_complete', type: 'number' },
                { name: 'notes', type: 'string' },
                { name: 'planned_start', type: 'string', isOptional: true },
                { name: 'status', type: 'string' },
                { name: 'is_milestone', type: 'boolean' },
                { name: 'assignee', type: 'string', isOptional: true },
                { name: 'optimistic_duration', type: 'number', isOptional: true },
                { name: 'most_likely_duration', type: 'number', isOptional: true },
                { name: 'pessimistic_duration', type: 'number', isOptional: true },
            ],
        }),
        tableSchema({
            name: 'dependencies',
            columns: [
                { name: 'server_version', type: 'number' },
                { name: 'project', type: 'string' },
                { name: 'predecessor', type: 'string' },
                { name: 'successor', type: 'string' },
                { name: 'dep_type', type: 'string' },
                { name: 'lag', type: 'number' },
            ],
        }),
        tableSchema({
            name: 'calendars',
            columns: [
                { name: 'server_version', type: 'number' },
                { name: 'project', type: 'string' },
                { name: 'name', type: 'string' },
                { name: 'working_days', type: 'number' },
                { name: 'hours_per_day', type: 'number' },
                { name: 'timezone', type: 'string' },
                { name: 'exceptions', type: 'string' },
            ],
        }),
        tableSchema({
            name: 'memberships',
            columns: [
                { name: 'server_version', type: 'number' },
                { name: 'project', type: 'string' },
                { name: 'user', type: 'string' },
                { name: 'role', type: 'number' },
            ],
        }),
    ],
});
