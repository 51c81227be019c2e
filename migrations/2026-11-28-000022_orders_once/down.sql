drop function order_kept;
