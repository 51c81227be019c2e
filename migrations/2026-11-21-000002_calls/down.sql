drop table storage_tombstones, call_count_totals, call_count_deltas, call_processing_events, call_sentiment_summary,
    action_items, call_artifacts, call_records;
drop function call_records_after_delete, call_records_before_status;
