-- Whole tables are compared: never row by row, whatever the statistics of a young table make the planner think.
SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off; SET LOCAL work_mem = '64MB'
