// What the types of infra/trueppm.ts say, held against WatermelonDB's own: `npm test` compiles this before anything runs.
import { Role, schema } from '../../infra/trueppm';
export const theSchemaIsOne = schema;
/** The answer to a pull is what `pullChanges` returns. */
export const anAnswerIsAResult = ({ changes, timestamp }) => ({ changes, timestamp });
export const createdIsAlwaysEmpty = ({ changes }, task) => {
    changes.tasks.updated.push(task);
    // @ts-expect-error
    changes.tasks.created.push(task);
};
export const aNullableColumnMayBeNull = (task) => {
    // @ts-expect-error
    const assignee = task.assignee;
    const name = task.name;
    return assignee + name;
};
export const aColumnIsKnownByItsName = (project) => {
    // @ts-expect-error: projects are not in a project
    const inProject = project.project;
    return [inProject, project.start_date.length];
};
export const exceptionsAreJsonText = (calendar) => {
    // @ts-expect-error
    const exceptions = calendar.exceptions;
    return exceptions ?? JSON.parse(calendar.exceptions);
};
export const aChoiceHasItsValuesAndNoOther = (task, membership) => {
    // @ts-expect-error
    const done = task.status === 'DONE';
    return done || (task.status === 'COMPLETE' && membership.role === Role.Owner);
};
export const aProblemIsKnownByItsCode = (problem) => {
    // @ts-expect-error
    if (problem.code === 'no_such_code')
        return [];
    return problem.code === 'sync_conflict' ? (problem.conflict_fields ?? []) : [];
};
