// The tables of the app, as an app developer gets them: out of infra/api/trueppm.ts.

import * as watermelon from '@nozbe/watermelondb'
import { schema } from '#trueppm'
import { appWith } from '../../infra/api/schema.mjs'

export { schema }
export const { tables, table, appOf, app } = appWith(watermelon, schema)
